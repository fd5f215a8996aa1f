-- fingerprint, attempt, result event -> messages of the stages that can be trained now, or nil if the lease is lost.
local fingerprint, attempt = ARGV[1], ARGV[2]
local state = get(fingerprint, 'state')
if get(fingerprint, 'attempt') ~= attempt then return nil end
-- A worker whose answer was lost asks again: the children are queued already, and the reaper sends their messages.
if state == 'done' then return {} end
-- A finished result counts, even if its study was cancelled meanwhile.
if state ~= 'running' and state ~= 'cancelled' then return nil end
publish('result', ARGV[3])
enter(fingerprint, 'done', {worker = get(fingerprint, 'worker')})
return enqueue_children(fingerprint, {})
