-- worker that is known to be dead -> how many of its leases end now.
local ended = 0
for _, fingerprint in ipairs(redis.call('ZRANGE', prefix .. 'leases', 0, -1)) do
  if get(fingerprint, 'worker') == ARGV[1] then
    redis.call('ZADD', prefix .. 'leases', 0, fingerprint)
    ended = ended + 1
  end
end
return ended
