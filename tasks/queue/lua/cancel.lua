-- study, cancelled event -> how many stages were cancelled, -1 if all are done, or nil for an unknown study.
local study = ARGV[1]
if redis.call('EXISTS', prefix .. 'study:' .. study) == 0 then return nil end
local cancelled, all_done = 0, true
for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
  all_done = all_done and get(fingerprint, 'state') == 'done'
end
if all_done then return -1 end
redis.call('HSET', prefix .. 'study:' .. study, 'cancelled', 1)
publish('cancelled', ARGV[2])
for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
  redis.call('SREM', prefix .. 'studies:' .. fingerprint, study)
  if cancel_unless_needed(fingerprint) then cancelled = cancelled + 1 end
end
return cancelled
