-- study, launched event, JSON list of {fingerprint, spec, parent or '', finished, lost} parents first -> messages to send.
-- finished: its result is kept. lost: Redis had it done, but its result is gone.
local study, stages = ARGV[1], cjson.decode(ARGV[3])
publish('launched', ARGV[2])
redis.call('HSET', prefix .. 'study:' .. study, 'launched', ARGV[2])
redis.call('HDEL', prefix .. 'study:' .. study, 'cancelled')
for _, stage in ipairs(stages) do
  local fingerprint = stage.fingerprint
  local state = get(fingerprint, 'state')
  redis.call('SADD', prefix .. 'members:' .. study, fingerprint)
  redis.call('SADD', prefix .. 'studies:' .. fingerprint, study)
  if not state then
    set(fingerprint, 'spec', stage.spec, 'parent', stage.parent, 'attempt', 1)
    if stage.parent ~= '' then redis.call('RPUSH', prefix .. 'children:' .. stage.parent, fingerprint) end
  elseif state == 'failed' or state == 'cancelled' or stage.lost then
    next_attempt(fingerprint)
    state = nil
  end
  if not state then
    set(fingerprint, 'failures', 0, 'deaths', 0, 'losses', 0, 'error', '')
    enter(fingerprint, stage.finished and 'done' or 'waiting')
  elseif stage.finished and (state == 'waiting' or state == 'queued') then
    enter(fingerprint, 'done')
  -- Known states are told again, since a database that was replaced would not know them.
  elseif state == 'running' then
    enter(fingerprint, state, {worker = get(fingerprint, 'worker')})
  else
    enter(fingerprint, state)
  end
end
local messages = {}
for _, stage in ipairs(stages) do
  local state = get(stage.fingerprint, 'state')
  if state == 'done' then
    enqueue_children(stage.fingerprint, messages)
  elseif state == 'waiting' and stage.parent == '' then
    table.insert(messages, enqueue(stage.fingerprint))
  end
end
return messages
