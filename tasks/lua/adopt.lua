-- study, launched event, cancelled event or '', JSON list of {fingerprint, spec, parent or '', state, attempt, error, told}
-- parents first -> messages to send.
-- A stage that is not known gets that state, and tells it unless told: the database has it so. One that is known stays as
-- it is and tells that again.
local study, cancelled, stages = ARGV[1], ARGV[3] ~= '', cjson.decode(ARGV[4])
publish('launched', ARGV[2])
redis.call('HSET', prefix .. 'study:' .. study, 'launched', ARGV[2])
if cancelled then
  redis.call('HSET', prefix .. 'study:' .. study, 'cancelled', 1)
  publish('cancelled', ARGV[3])
end
for _, stage in ipairs(stages) do
  local fingerprint = stage.fingerprint
  local state = get(fingerprint, 'state')
  redis.call('SADD', prefix .. 'members:' .. study, fingerprint)
  if not cancelled then redis.call('SADD', prefix .. 'studies:' .. fingerprint, study) end
  if state then
    local error = get(fingerprint, 'error')
    enter(fingerprint, state, {
      worker = (state == 'running' or state == 'done') and get(fingerprint, 'worker') or nil,
      error = state == 'failed' and error ~= '' and error or nil,
    })
  else
    set(fingerprint, 'spec', stage.spec, 'parent', stage.parent, 'attempt', stage.attempt)
    set(fingerprint, 'failures', 0, 'deaths', 0, 'losses', 0, 'error', stage.error)
    if stage.parent ~= '' then redis.call('RPUSH', prefix .. 'children:' .. stage.parent, fingerprint) end
    if stage.told then
      set(fingerprint, 'state', stage.state)
    else
      enter(fingerprint, stage.state, {error = stage.error ~= '' and stage.error or nil})
    end
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
