-- deaths allowed, age from which a queued stage is stale (ms), lists of waiting messages -> messages to send.
local messages = {}
local time = now()
for _, fingerprint in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', time)) do
  local deaths = redis.call('HINCRBY', prefix .. 'stage:' .. fingerprint, 'deaths', 1)
  if deaths >= tonumber(ARGV[1]) then
    local reason = 'Its worker died ' .. deaths .. ' times without finishing an epoch; the last was '
      .. get(fingerprint, 'worker') .. '. Look for a lack of memory in its log, then retry.'
    enter(fingerprint, 'failed', {error = reason})
  else
    next_attempt(fingerprint)
    table.insert(messages, enqueue(fingerprint))
  end
end
-- While messages wait, queued stages are in order; if none waits, the message of a stale stage was lost.
if redis.call('EXISTS', unpack(ARGV, 3)) == 0 then
  for _, fingerprint in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'queued', '-inf', time - tonumber(ARGV[2]))) do
    redis.call('ZADD', prefix .. 'queued', next_moment(), fingerprint)
    table.insert(messages, {fingerprint, tonumber(get(fingerprint, 'attempt'))})
  end
end
return messages
