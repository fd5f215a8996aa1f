-- spec, worker, host, device, lease (ms), JSON list of the paths in a spec that make its shape, most stages to search,
-- stages held, how many are fastest, how many fit, live workers, idle workers, joining ('1' or '')
-- -> {fingerprint, attempt, spec} of each claimed stage.
-- Claims queued stages of the spec's shape: first stages that were begun before, until as many are held as fit, shared
-- with the idle workers; then the oldest new ones, until as many are held as are fastest. At first that is at most a fair
-- share of all; to join stages in training, it is all that are left, unless a stage of another shape has waited longer.
local paths, searched = cjson.decode(ARGV[6]), tonumber(ARGV[7])
local held, fastest, most = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local workers, idle, joining = tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13] == '1'

local function shape(spec)
  local decoded, values = cjson.decode(spec), {}
  for number, path in ipairs(paths) do
    local value = decoded
    for _, name in ipairs(path) do value = value[name] end
    values[number] = value
  end
  return cjson.encode(values)
end

local like = shape(ARGV[1])
local function is_alike(fingerprint)
  return shape(get(fingerprint, 'spec')) == like
end

local begun, fresh, seen, waits = {}, {}, {}, false
for _, fingerprint in ipairs(redis.call('ZRANGE', prefix .. 'begun', 0, searched - 1)) do
  seen[fingerprint] = true
  if is_alike(fingerprint) then table.insert(begun, fingerprint) else waits = joining end
end
for _, fingerprint in ipairs(redis.call('ZRANGE', prefix .. 'queued', 0, searched - 1)) do
  if waits or held >= fastest then break end
  if not seen[fingerprint] then
    if is_alike(fingerprint) then table.insert(fresh, fingerprint) else waits = joining end
  end
end

local claimed = {}
local function claim(stages, number)
  for place = 1, math.min(number, #stages) do
    local spec = take(stages[place], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
    table.insert(claimed, {stages[place], tonumber(get(stages[place], 'attempt')), spec})
  end
end

claim(begun, math.min(most - held, math.ceil(#begun / (idle + 1))))
-- The first claim took this worker's share, so the stages that remain are shared with the idle workers only.
local share = math.ceil((held + #begun + #fresh) / workers) - held - #claimed
if joining then share = math.ceil(#fresh / (idle + 1)) end
claim(fresh, math.min(fastest - held - #claimed, share))
return claimed
