-- study, JSON of {name, note, add, remove}, the most tags -> 1, 0 if the study would have more tags, or nil for an unknown
-- study. A name or a note that is left out stays as it is; add and remove are lists of tags.
local study, change, most = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3])
local key = prefix .. 'study:' .. study
if redis.call('EXISTS', key) == 0 then return nil end
local described = cjson.decode(redis.call('HGET', key, 'described') or '{}')
local tags, skipped = {}, {}
for _, tag in ipairs(change.remove) do skipped[tag] = true end
for _, list in ipairs({described.tags or {}, change.add}) do
  for _, tag in ipairs(list) do
    if not skipped[tag] then table.insert(tags, tag) end
    skipped[tag] = true
  end
end
if #tags > most then return 0 end
described.name = change.name or described.name
described.note = change.note or described.note
-- An empty list would be encoded as an object.
described.tags = #tags > 0 and tags or nil
local text = cjson.encode(described)
redis.call('HSET', key, 'described', text)
publish_description(study, text)
return 1
