-- fingerprint, attempt, error, failures allowed -> the message of the next attempt, or nil.
local fingerprint = ARGV[1]
if lease_state(fingerprint, ARGV[2]) ~= 'ok' then return nil end
local failures = redis.call('HINCRBY', prefix .. 'stage:' .. fingerprint, 'failures', 1)
set(fingerprint, 'error', ARGV[3])
if failures > tonumber(ARGV[4]) then
  enter(fingerprint, 'failed', {error = ARGV[3], worker = get(fingerprint, 'worker')})
  return nil
end
next_attempt(fingerprint)
return enqueue(fingerprint, {error = ARGV[3]})
