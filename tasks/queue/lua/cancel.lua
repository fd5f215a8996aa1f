-- study, cancelled event -> how many stages were cancelled, or nil for an unknown study.
local study = ARGV[1]
if redis.call('EXISTS', prefix .. 'study:' .. study) == 0 then return nil end
local cancelled = 0
redis.call('HSET', prefix .. 'study:' .. study, 'cancelled', 1)
publish('cancelled', ARGV[2])
for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
  redis.call('SREM', prefix .. 'studies:' .. fingerprint, study)
  if cancel_unless_needed(fingerprint) then cancelled = cancelled + 1 end
end
return cancelled
