-- study, cancelled event -> how many stages were cancelled, -1 if all are done, or nil for an unknown study.
local study = ARGV[1]
if redis.call('EXISTS', prefix .. 'study:' .. study) == 0 then return nil end
for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
  if get(fingerprint, 'state') ~= 'done' then return cancel_study(study, ARGV[2]) end
end
return -1
