-- time of the service as the caller last saw it ('' at first), milliseconds since then -> the time of the service now.
-- Whoever has not seen the latest time does not advance it, so that of several reapers only one does.
now()
local key = prefix .. 'clock'
if redis.call('GET', key) == ARGV[1] then redis.call('INCRBYFLOAT', key, ARGV[2]) end
return redis.call('GET', key)
