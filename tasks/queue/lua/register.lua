-- study, launched event, JSON list of {fingerprint, spec, parent or '', finished, lost} parents first -> messages to send.
-- finished: its result is saved. lost: Redis has it as done, but its result is missing.
-- Of a launch, these follow: a hash of its content, the time (ms) within which an equal launch counts as the same, and
-- 'again' if it does not; such an earlier launch is returned in place of messages, and nothing is changed.
local study, stages = ARGV[1], cjson.decode(ARGV[3])
local content, within, again = ARGV[4], ARGV[5], ARGV[6] == 'again'
if content then
  local before = launched_before(content, within)
  if before and not again then return before end
  redis.call('SET', prefix .. 'equal:' .. content, study, 'PX', within)
end
publish('launched', ARGV[2])
redis.call('HSET', prefix .. 'study:' .. study, 'launched', ARGV[2])
redis.call('HDEL', prefix .. 'study:' .. study, 'cancelled')
for _, stage in ipairs(stages) do
  local fingerprint = stage.fingerprint
  local state = get(fingerprint, 'state')
  redis.call('SADD', prefix .. 'members:' .. study, fingerprint)
  redis.call('SADD', prefix .. 'studies:' .. fingerprint, study)
  if not state then
    begin(stage, first_attempt(), '')
  elseif state == 'failed' or state == 'cancelled' or stage.lost then
    next_attempt(fingerprint)
    set(fingerprint, 'failures', 0, 'deaths', 0, 'losses', 0, 'error', '')
    state = nil
  end
  if not state then
    enter(fingerprint, stage.finished and 'done' or 'waiting')
  elseif stage.finished and (state == 'waiting' or state == 'queued') then
    enter(fingerprint, 'done')
  else
    publish_again(fingerprint, state)
  end
end
return enqueue_ready(stages)
