-- What every transition of a stage shares. KEYS[1] is the prefix of all keys; the parts after it:
--   stage:<fingerprint>     hash: spec, state, attempt, failures, deaths, losses, worker, error
--   children:<fingerprint>  list of fingerprints, in the order of their plan
--   awaiting:<fingerprint>  set of stages further down that miss its weights and wait for it to be trained again
--   studies:<fingerprint>   set of the live studies that need the stage
--   study:<study>           hash: launched (as published), cancelled
--   members:<study>         set of fingerprints
--   leases, queued          sorted sets of fingerprints by the end of their lease, by when they were last sent (ms)
--   events                  the stream that the recorder drains
local prefix = KEYS[1]

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function get(fingerprint, field)
  return redis.call('HGET', prefix .. 'stage:' .. fingerprint, field)
end

local function set(fingerprint, ...)
  redis.call('HSET', prefix .. 'stage:' .. fingerprint, ...)
end

local function publish(kind, body)
  redis.call('XADD', prefix .. 'events', '*', 'kind', kind, 'body', body)
end

-- Change a stage's state and tell it, in one step. details: more keys of the event.
local function enter(fingerprint, state, details)
  local event = details or {}
  set(fingerprint, 'state', state)
  event.fingerprint = fingerprint
  event.state = state
  event.attempt = tonumber(get(fingerprint, 'attempt'))
  publish('stage', cjson.encode(event))
  if state ~= 'running' then
    redis.call('ZREM', prefix .. 'leases', fingerprint)
    redis.call('DEL', prefix .. 'progress:' .. fingerprint)
  end
  if state ~= 'queued' then
    redis.call('ZREM', prefix .. 'queued', fingerprint)
  end
end

-- Make a stage ready to be claimed; returns the message that has to be sent.
local function enqueue(fingerprint, details)
  enter(fingerprint, 'queued', details)
  redis.call('ZADD', prefix .. 'queued', now(), fingerprint)
  return {fingerprint, tonumber(get(fingerprint, 'attempt'))}
end

local function enqueue_children(fingerprint, messages)
  for _, child in ipairs(redis.call('LRANGE', prefix .. 'children:' .. fingerprint, 0, -1)) do
    if get(child, 'state') == 'waiting' then
      table.insert(messages, enqueue(child))
    end
  end
  local awaiting = prefix .. 'awaiting:' .. fingerprint
  for _, stage in ipairs(redis.call('SMEMBERS', awaiting)) do
    if get(stage, 'state') == 'waiting' then
      table.insert(messages, enqueue(stage))
    end
  end
  redis.call('DEL', awaiting)
  return messages
end

-- Whoever holds an older attempt than the current one has lost the stage: this is the fence.
local function standing(fingerprint, attempt)
  if get(fingerprint, 'attempt') == attempt then
    local state = get(fingerprint, 'state')
    if state == 'running' then return 'ok' end
    if state == 'cancelled' then return 'cancelled' end
  end
  return 'lost'
end

local function next_attempt(fingerprint)
  redis.call('HINCRBY', prefix .. 'stage:' .. fingerprint, 'attempt', 1)
end
