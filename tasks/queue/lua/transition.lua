-- Functions that all scripts share. KEYS[1] is the prefix of all keys, which continue with:
--   stage:<fingerprint>     hash: spec, state, attempt, failures, deaths, losses, worker, error
--   children:<fingerprint>  list of fingerprints, in the order of their plan
--   awaiting:<fingerprint>  set of later stages that miss its weights and wait until it is trained again
--   studies:<fingerprint>   set of the live studies that need the stage
--   study:<study>           hash: launched (as published), cancelled, described (JSON: name, note, tags), trashed (when)
--   members:<study>         set of fingerprints
--   clock                   the time of the service (ms), which tick.lua advances and which no clock can make jump
--   leases                  sorted set of running stages by the end of their lease (ms)
--   queued                  sorted set of queued stages by the time when their message was last sent (ms)
--   begun                   sorted set of the queued stages of a later attempt by the time when they were queued (ms)
--   attempts                the highest attempt of any forgotten stage
--   equal:<content>         the study that was launched last with this content, for a short time
--   events                  the stream that the recorder drains
local prefix = KEYS[1]

local function now()
  local time = redis.call('GET', prefix .. 'clock')
  if not time then
    -- Later than all times that a version without this clock has saved.
    time = redis.call('TIME')[1] .. '000'
    redis.call('SET', prefix .. 'clock', time)
  end
  return tonumber(time)
end

-- The time, later than that of any call before: stages that were queued first come first.
local function next_moment()
  now()
  return redis.call('INCRBYFLOAT', prefix .. 'clock', '0.001')
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

-- Change a stage's state and publish it. details: more keys of the event.
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
    redis.call('ZREM', prefix .. 'begun', fingerprint)
  end
end

-- Queue a stage, and return the message to send.
local function enqueue(fingerprint, details)
  enter(fingerprint, 'queued', details)
  local attempt = tonumber(get(fingerprint, 'attempt'))
  local moment = next_moment()
  redis.call('ZADD', prefix .. 'queued', moment, fingerprint)
  -- Stages of later attempts are trained first, as their messages are sent with priority.
  if attempt ~= 1 then redis.call('ZADD', prefix .. 'begun', moment, fingerprint) end
  return {fingerprint, attempt}
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

-- The fence: a worker with an older attempt than the current one has lost the stage.
local function lease_state(fingerprint, attempt)
  if get(fingerprint, 'attempt') == attempt then
    local state = get(fingerprint, 'state')
    if state == 'running' then return 'ok' end
    if state == 'cancelled' then return 'cancelled' end
  end
  return 'lost'
end

-- Cancel an unfinished stage unless a live study needs it, and return whether it was cancelled.
local function cancel_unless_needed(fingerprint)
  local state = get(fingerprint, 'state')
  local pending = state == 'waiting' or state == 'queued' or state == 'running'
  if not pending or redis.call('SCARD', prefix .. 'studies:' .. fingerprint) > 0 then return false end
  enter(fingerprint, 'cancelled')
  return true
end

-- Cancel a study's stages that no other live study needs, and return their number.
local function cancel_study(study, event)
  local cancelled = 0
  redis.call('HSET', prefix .. 'study:' .. study, 'cancelled', 1)
  publish('cancelled', event)
  for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
    redis.call('SREM', prefix .. 'studies:' .. fingerprint, study)
    if cancel_unless_needed(fingerprint) then cancelled = cancelled + 1 end
  end
  return cancelled
end

-- Give a stage to a worker under a lease (ms), and return its spec.
local function take(fingerprint, worker, host, device, lease)
  set(fingerprint, 'worker', worker)
  enter(fingerprint, 'running', {worker = worker, host = host, device = device})
  redis.call('ZADD', prefix .. 'leases', now() + tonumber(lease), fingerprint)
  return get(fingerprint, 'spec')
end

local function next_attempt(fingerprint)
  redis.call('HINCRBY', prefix .. 'stage:' .. fingerprint, 'attempt', 1)
end

-- A forgotten stage that is launched again gets higher attempts than before, since a worker may still be training it.
local function first_attempt()
  return tonumber(redis.call('GET', prefix .. 'attempts') or 0) + 1
end

-- Add a stage that has no state yet.
local function begin(stage, attempt, error)
  set(stage.fingerprint, 'spec', stage.spec, 'parent', stage.parent, 'attempt', attempt)
  set(stage.fingerprint, 'failures', 0, 'deaths', 0, 'losses', 0, 'error', error)
  if stage.parent ~= '' then
    redis.call('RPUSH', prefix .. 'children:' .. stage.parent, stage.fingerprint)
  end
end

-- Publish what a study is called.
local function publish_description(study, described)
  local event = cjson.decode(described)
  event.study_id = study
  publish('described', cjson.encode(event))
end

-- Publish a state again, since a database that was replaced does not have it.
local function publish_again(fingerprint, state)
  local error = get(fingerprint, 'error')
  enter(fingerprint, state, {
    worker = (state == 'running' or state == 'done') and get(fingerprint, 'worker') or nil,
    error = state == 'failed' and error ~= '' and error or nil,
  })
end

-- Queue those of some stages that can be trained now, and return the messages to send.
local function enqueue_ready(stages)
  local messages = {}
  for _, stage in ipairs(stages) do
    local state = get(stage.fingerprint, 'state')
    if state == 'done' then
      enqueue_children(stage.fingerprint, messages)
    elseif state == 'waiting' and stage.parent == '' then
      table.insert(messages, enqueue(stage.fingerprint))
    end
  end
  return messages
end

-- Return the study launched with this content a short time ago, if it still goes on or is done, and its age (ms);
-- within: the time for which Redis remembers it (ms).
local function launched_before(content, within)
  local key = prefix .. 'equal:' .. content
  local study = redis.call('GET', key)
  if not study or redis.call('EXISTS', prefix .. 'study:' .. study) == 0 then return nil end
  for _, field in ipairs({'cancelled', 'trashed'}) do
    if redis.call('HEXISTS', prefix .. 'study:' .. study, field) == 1 then return nil end
  end
  for _, fingerprint in ipairs(redis.call('SMEMBERS', prefix .. 'members:' .. study)) do
    if get(fingerprint, 'state') == 'failed' then return nil end
  end
  return {'equal', study, tonumber(within) - redis.call('PTTL', key)}
end
