-- study, its description in the database as JSON or '', when it was moved to the Trash by the database or '', and whether
-- Redis knew the study before: '1' or ''.
-- A study that Redis did not know gets both. Of one that it knew, what Redis has is published again, since the database has
-- something else; only a description that Redis lacks comes from the database.
local study, described, trashed, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local key = prefix .. 'study:' .. study
local own = redis.call('HGET', key, 'described')
if own then
  publish_description(study, own)
elseif described ~= '' then
  redis.call('HSET', key, 'described', described)
end
if known then
  publish('trashed', cjson.encode({study_id = study, at = redis.call('HGET', key, 'trashed') or nil}))
elseif trashed ~= '' then
  redis.call('HSET', key, 'trashed', trashed)
end
