-- fingerprint, attempt, worker, host, device, lease (ms) -> the stage's spec, or nil where it is not to be had.
local fingerprint, attempt, worker = ARGV[1], ARGV[2], ARGV[3]
local state = get(fingerprint, 'state')
if get(fingerprint, 'attempt') ~= attempt then return nil end
-- A claim whose answer was lost is asked again, and is still the same worker's.
if state ~= 'queued' and not (state == 'running' and get(fingerprint, 'worker') == worker) then return nil end
return take(fingerprint, worker, ARGV[4], ARGV[5], ARGV[6])
