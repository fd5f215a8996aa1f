-- spec, worker, host, device, lease (ms), most, workers to share with, stages to look at -> {fingerprint, attempt, spec} each.
-- Claims queued stages that can be trained beside the spec's: the oldest, and of all there are no more than a fair share.
local function shape(spec)
  local images, recipe = spec.images, spec.recipe
  return cjson.encode({
    spec.network, images.identity, images.train, images.test, recipe.batch_size, recipe.precision, recipe.augmentation
  })
end

local like, alike = shape(cjson.decode(ARGV[1])), {}
for _, fingerprint in ipairs(redis.call('ZRANGE', prefix .. 'queued', 0, tonumber(ARGV[8]) - 1)) do
  if shape(cjson.decode(get(fingerprint, 'spec'))) == like then table.insert(alike, fingerprint) end
end
local share = math.ceil((#alike + 1) / tonumber(ARGV[7])) - 1
local claimed = {}
for place = 1, math.min(share, tonumber(ARGV[6]), #alike) do
  local fingerprint = alike[place]
  local spec = take(fingerprint, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
  table.insert(claimed, {fingerprint, tonumber(get(fingerprint, 'attempt')), spec})
end
return claimed
