-- study, deleted event, JSON list of its stages as far as the caller knows them -> the stages that no other study has.
-- Those are removed, so that a worker that trains one loses its lease. Stages that other studies have, but that only this
-- study still needed, are cancelled.
local study, mine = ARGV[1], prefix .. 'members:' .. ARGV[1]
local orphans, first = prefix .. 'forgetting', first_attempt() - 1
for _, fingerprint in ipairs(cjson.decode(ARGV[3])) do redis.call('SADD', mine, fingerprint) end
local members = redis.call('SMEMBERS', mine)
redis.call('SUNIONSTORE', orphans, mine)
for _, other in ipairs(redis.call('KEYS', prefix .. 'members:*')) do
  if other ~= mine then redis.call('SDIFFSTORE', orphans, orphans, other) end
end
local forgotten = redis.call('SMEMBERS', orphans)
for _, fingerprint in ipairs(members) do redis.call('SREM', prefix .. 'studies:' .. fingerprint, study) end
for _, fingerprint in ipairs(forgotten) do
  local parent = get(fingerprint, 'parent')
  if parent and parent ~= '' then redis.call('LREM', prefix .. 'children:' .. parent, 0, fingerprint) end
  first = math.max(first, tonumber(get(fingerprint, 'attempt') or 0))
  for _, kind in ipairs({'stage:', 'children:', 'awaiting:', 'studies:', 'progress:'}) do
    redis.call('DEL', prefix .. kind .. fingerprint)
  end
  redis.call('ZREM', prefix .. 'leases', fingerprint)
  redis.call('ZREM', prefix .. 'queued', fingerprint)
  redis.call('ZREM', prefix .. 'begun', fingerprint)
end
for _, fingerprint in ipairs(members) do cancel_unless_needed(fingerprint) end
redis.call('DEL', orphans, mine, prefix .. 'study:' .. study)
redis.call('SET', prefix .. 'attempts', first)
local event = cjson.decode(ARGV[2])
-- An empty list would be encoded as an object.
if #members > 0 then event.stages = members end
publish('deleted', cjson.encode(event))
return forgotten
