-- study, trashed event without a time -> 1, 0 if the study is not in the Trash, or nil for an unknown study.
local study = ARGV[1]
local key = prefix .. 'study:' .. study
if redis.call('EXISTS', key) == 0 then return nil end
if redis.call('HDEL', key, 'trashed') == 0 then return 0 end
if redis.call('HEXISTS', key, 'cancelled') == 0 then
  for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
    redis.call('SADD', prefix .. 'studies:' .. fingerprint, study)
  end
end
publish('trashed', ARGV[2])
return 1
