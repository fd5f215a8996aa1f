-- fingerprint, attempt, stage that has to be trained again, error, losses allowed -> messages, or nil if the lease is lost.
local fingerprint, lost = ARGV[1], ARGV[3]
if lease_state(fingerprint, ARGV[2]) ~= 'ok' then return nil end
local losses = redis.call('HINCRBY', prefix .. 'stage:' .. fingerprint, 'losses', 1)
local state = get(lost, 'state')
if losses > tonumber(ARGV[5]) or not state then
  set(fingerprint, 'error', ARGV[4])
  enter(fingerprint, 'failed', {error = ARGV[4], worker = get(fingerprint, 'worker')})
  return {}
end
next_attempt(fingerprint)
redis.call('SADD', prefix .. 'awaiting:' .. lost, fingerprint)
enter(fingerprint, 'waiting', {error = ARGV[4]})
-- Another stage that misses it may have queued it already.
if state ~= 'done' then return {} end
next_attempt(lost)
set(lost, 'failures', 0, 'deaths', 0)
return {enqueue(lost, {error = ARGV[4]})}
