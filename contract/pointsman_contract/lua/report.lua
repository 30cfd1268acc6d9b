-- Append one outcome and finish its claim, if the claim is still this attempt's.
-- KEYS: control, claim, breakers, failures in a row of each breaker
-- ARGV: 1 stream prefix, 2 run_id, 3 task, 4 attempt, 5 token, 6 kind, 7 body, 8 claim seconds, 9 signatures or '':
--       time of the event, name of the key, mark, MAC, MAC if it is late; 10 what it means for its circuit
--       breakers: success, failure or nothing; of a success the breakers; of a failure 11 the names of its
--       exception's classes, a line each, and then each breaker that it counts for, with the epoch the gate told or '',
--       and each that did answer, with the word answered
-- Answer: {"ok", epoch, stream id, late} | {"wait"}: no valid epoch, nothing was written
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if not control[1] or control[2] ~= ARGV[2] then
  return {'wait'}
end
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'token', 'attempt')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
local late = '0'
-- The claim of an earlier attempt came back with old data; only a newer one, or a closed one, makes this outcome late.
local older = claim[1] and claim[1] ~= 'closed' and (tonumber(claim[3] or '0') or 0) < tonumber(ARGV[4])
if not claim[1] or claim[2] == ARGV[5] or older then
  redis.call('HSET', KEYS[2], 'state', 'done', 'attempt', ARGV[4], 'token', ARGV[5])
  redis.call('EXPIRE', KEYS[2], ARGV[8])
else
  late = '1'
  -- Rescued, and not started again: the success ends the task, so that its next message must not run.
  if claim[1] == 'released' and claim[3] == ARGV[4] and ARGV[6] == 'succeeded' then
    redis.call('HSET', KEYS[2], 'state', 'closed', 'reason', 'succeeded')
  end
end
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
local fields = {'kind', ARGV[6], 'task', ARGV[3], 'attempt', ARGV[4], 'at', now, 'late', late, 'body', ARGV[7]}
if ARGV[9] ~= '' then
  local at, key, mark, in_time, too_late = string.match(ARGV[9], '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  fields[8] = at
  fields[#fields + 1] = 'signed'
  fields[#fields + 1] = key .. ' ' .. mark .. ' ' .. (late == '1' and too_late or in_time)
end
local id = redis.call('XADD', ARGV[1] .. control[1], '*', unpack(fields))
if late == '1' or not ARGV[10] then
  return {'ok', control[1], id, late}
end
-- Whether this failure makes the run of a task type long enough. A task is counted once, at its first attempt.
local function is_last_of(run, field)
  if ARGV[4] ~= '1' then
    return false
  end
  local moment = tonumber(now)
  local failures, began, last = string.match(redis.call('HGET', KEYS[4], field) or '', '^(%d+) ([%d.]+) ([%d.]+)$')
  failures, began, last = tonumber(failures), tonumber(began), tonumber(last)
  -- A worker of the release before writes a number alone, and what is none was written by somebody else.
  if not (failures and began and last) or moment - last > run.age then
    failures, began = 0, moment
  end
  failures = failures + 1
  redis.call('HSET', KEYS[4], field, string.format('%d %.6f %.6f', failures, began, moment))
  return failures >= run.many or (failures >= run.few and moment - began >= run.seconds)
end

local function count(field, told, default)
  local entry = redis.call('HGET', KEYS[3], field)
  -- Without the default policy nobody has said yet what counts: the recorder decides alone.
  if not entry and not default then
    return
  end
  local mark, epoch, json = string.match(entry or default, '^(.)(%d+)|(.*)$')
  local breaker = cjson.decode(json)
  -- Whoever names no class reports a failure all the same.
  local counts = ARGV[11] == ''
  for _, expected in ipairs(breaker.expected) do
    counts = counts or expected == 'Exception' or expected == 'BaseException'
  end
  for name in string.gmatch(ARGV[11], '[^\n]+') do
    for _, expected in ipairs(breaker.expected) do
      counts = counts or expected == name
    end
  end
  for name in string.gmatch(ARGV[11], '[^\n]+') do
    for _, ignored in ipairs(breaker.ignored) do
      counts = counts and ignored ~= name
    end
  end
  local opens = false
  if counts and (told == '' or told == epoch) then
    local run = string.sub(field, 1, 10) == 'task_type:' and breaker.run
    if run then
      -- A probe of a task type decides nothing alone.
      opens = breaker.state == 'closed' and run.many > 0 and is_last_of(run, field)
    elseif breaker.state == 'closed' and breaker.threshold > 0 then
      opens = redis.call('HINCRBY', KEYS[4], field, 1) >= breaker.threshold
    elseif mark == '?' then
      opens = breaker.permits[ARGV[3]] ~= nil
    end
  end
  if opens then
    -- At once, for all workers. The recorder confirms it, or takes it back.
    breaker.state = 'open'
    breaker.retry_at = tonumber(now) + breaker.wait
    breaker.permits = nil
    breaker.provisional = control[1] .. '/' .. id
    redis.call('HSET', KEYS[3], field, '!' .. (epoch + 1) .. '|' .. cjson.encode(breaker))
    redis.call('HDEL', KEYS[4], field)
  end
end
-- The outcome stands: what is wrong with the keys of breakers must not have it reported for ever. They are soon mended.
if ARGV[10] == 'success' then
  redis.pcall('HDEL', KEYS[4], unpack(ARGV, 11))
elseif ARGV[10] == 'failure' then
  local default = redis.pcall('HGET', KEYS[3], 'default')
  for i = 12, #ARGV, 2 do
    if ARGV[i + 1] == 'answered' then
      redis.pcall('HDEL', KEYS[4], ARGV[i])
    else
      pcall(count, ARGV[i], ARGV[i + 1], default)
    end
  end
end
return {'ok', control[1], id, late}
