-- fingerprint, attempt -> the message of the next attempt, or nil if the lease is lost.
local fingerprint = ARGV[1]
if lease_state(fingerprint, ARGV[2]) ~= 'ok' then return nil end
next_attempt(fingerprint)
return enqueue(fingerprint)
