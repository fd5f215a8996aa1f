-- fingerprint, attempt, seconds until it expires, field, value, ... -> 'ok', 'cancelled' or 'lost'.
local fingerprint = ARGV[1]
local answer = lease_state(fingerprint, ARGV[2])
if answer ~= 'ok' then return answer end
local key = prefix .. 'progress:' .. fingerprint
redis.call('HSET', key, unpack(ARGV, 4))
redis.call('EXPIRE', key, ARGV[3])
return answer
