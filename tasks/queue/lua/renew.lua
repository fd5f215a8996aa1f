-- fingerprint, attempt, lease (ms), epochs event ('' for none) -> 'ok', 'cancelled' or 'lost'.
local fingerprint = ARGV[1]
local answer = lease_state(fingerprint, ARGV[2])
if answer ~= 'ok' then return answer end
redis.call('ZADD', prefix .. 'leases', now() + tonumber(ARGV[3]), fingerprint)
if ARGV[4] ~= '' then
  publish('epochs', ARGV[4])
  -- A stage that makes progress does not kill its workers.
  set(fingerprint, 'deaths', 0)
end
return answer
