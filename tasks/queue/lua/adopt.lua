-- study, launched event, cancelled event or '', JSON list of {fingerprint, spec, parent or '', state, attempt, error, recorded}
-- parents first -> messages to send.
-- A stage that Redis does not know gets that state, which is published unless the database has it. One that it knows keeps
-- its state, which is published again.
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
    publish_again(fingerprint, state)
  else
    begin(stage, stage.attempt, stage.error)
    if stage.recorded then
      set(fingerprint, 'state', stage.state)
    else
      enter(fingerprint, stage.state, {error = stage.error ~= '' and stage.error or nil})
    end
  end
end
return enqueue_ready(stages)
