-- spec, worker, host, device, lease (ms), most, workers to share with, stages to look at, JSON list of the places of a
-- spec that make its shape -> {fingerprint, attempt, spec} each.
-- Claims queued stages of the spec's shape: the oldest, and of all there are no more than a fair share.
local places = cjson.decode(ARGV[9])

local function shape(spec)
  local decoded, values = cjson.decode(spec), {}
  for number, place in ipairs(places) do
    local value = decoded
    for _, name in ipairs(place) do value = value[name] end
    values[number] = value
  end
  return cjson.encode(values)
end

local like, alike = shape(ARGV[1]), {}
for _, fingerprint in ipairs(redis.call('ZRANGE', prefix .. 'queued', 0, tonumber(ARGV[8]) - 1)) do
  if shape(get(fingerprint, 'spec')) == like then table.insert(alike, fingerprint) end
end
local share = math.ceil((#alike + 1) / tonumber(ARGV[7])) - 1
local claimed = {}
for place = 1, math.min(share, tonumber(ARGV[6]), #alike) do
  local fingerprint = alike[place]
  local spec = take(fingerprint, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
  table.insert(claimed, {fingerprint, tonumber(get(fingerprint, 'attempt')), spec})
end
return claimed
