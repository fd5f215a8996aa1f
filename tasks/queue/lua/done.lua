-- fingerprint, attempt, result event -> messages for the children, or nil where the lease is lost.
local fingerprint, attempt = ARGV[1], ARGV[2]
local state = get(fingerprint, 'state')
if get(fingerprint, 'attempt') ~= attempt then return nil end
-- An answer that was lost is asked again; the children are queued by then, and the reaper sends them.
if state == 'done' then return {} end
-- A result that was reached counts, even where its study was cancelled meanwhile.
if state ~= 'running' and state ~= 'cancelled' then return nil end
publish('result', ARGV[3])
enter(fingerprint, 'done', {worker = get(fingerprint, 'worker')})
return enqueue_children(fingerprint, {})
