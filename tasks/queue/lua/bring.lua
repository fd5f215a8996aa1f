-- study, launched event, cancelled event or '' if all of its stages are finished, JSON list of {fingerprint, spec, parent or '',
-- finished, error} parents first -> messages to send.
-- finished: its result is saved. error: why a stage that is neither finished nor known can never be trained, or ''.
-- No stage of the study is queued: unknown ones without a result are cancelled, or have failed.
local study, cancelled, stages = ARGV[1], ARGV[3], cjson.decode(ARGV[4])
local key = prefix .. 'study:' .. study
local known = redis.call('EXISTS', key) == 1
if not known or cancelled == '' then
  publish('launched', ARGV[2])
  redis.call('HSET', key, 'launched', ARGV[2])
  redis.call('HDEL', key, 'cancelled')
end
if not known and cancelled ~= '' then
  redis.call('HSET', key, 'cancelled', 1)
  publish('cancelled', cancelled)
end
local live = redis.call('HEXISTS', key, 'cancelled') == 0
for _, stage in ipairs(stages) do
  local fingerprint = stage.fingerprint
  local state = get(fingerprint, 'state')
  redis.call('SADD', prefix .. 'members:' .. study, fingerprint)
  if live then redis.call('SADD', prefix .. 'studies:' .. fingerprint, study) end
  if not state then
    begin(stage, first_attempt(), stage.error)
    if stage.finished then
      enter(fingerprint, 'done')
    elseif stage.error ~= '' then
      enter(fingerprint, 'failed', {error = stage.error})
    else
      enter(fingerprint, 'cancelled')
    end
  elseif stage.finished and state ~= 'done' and state ~= 'running' then
    -- A worker that still has a message of the stage must not train it.
    next_attempt(fingerprint)
    set(fingerprint, 'error', '')
    enter(fingerprint, 'done')
  else
    publish_again(fingerprint, state)
  end
end
return enqueue_ready(stages)
