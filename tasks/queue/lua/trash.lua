-- study, trashed event, its time, cancelled event -> how many stages were cancelled, -1 if the study is in the Trash already,
-- or nil for an unknown study.
local study = ARGV[1]
local key = prefix .. 'study:' .. study
if redis.call('EXISTS', key) == 0 then return nil end
if redis.call('HEXISTS', key, 'trashed') == 1 then return -1 end
local cancelled, members = 0, redis.call('SMEMBERS', prefix .. 'members:' .. study)
for _, fingerprint in ipairs(members) do
  local state = get(fingerprint, 'state')
  if state == 'waiting' or state == 'queued' or state == 'running' then
    cancelled = cancel_study(study, ARGV[4])
    break
  end
end
for _, fingerprint in ipairs(members) do redis.call('SREM', prefix .. 'studies:' .. fingerprint, study) end
redis.call('HSET', key, 'trashed', ARGV[3])
publish('trashed', ARGV[2])
return cancelled
