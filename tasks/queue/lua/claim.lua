-- fingerprint, attempt, worker, host, device, lease (ms) -> the stage's spec, or nil if it cannot be claimed.
local fingerprint, attempt, worker = ARGV[1], ARGV[2], ARGV[3]
local state = get(fingerprint, 'state')
if get(fingerprint, 'attempt') ~= attempt then return nil end
-- A worker whose answer was lost claims again, and has the stage already.
if state ~= 'queued' and not (state == 'running' and get(fingerprint, 'worker') == worker) then return nil end
return take(fingerprint, worker, ARGV[4], ARGV[5], ARGV[6])
