-- May this message's task run now? Claims it when it may.
-- KEYS: control, claim
-- ARGV: 1 stream prefix, 2 run_id, 3 epoch of the message, 4 task, 5 after, 6 token, 7 owner, 8 sent_at,
--       9 expires_at or '', 10 body of the event, 11 claim seconds, 12 ask seconds, 13 longest stream, 14 memory percent
-- Answer: {"run", attempt, epoch, started_at} | {"duplicate"} | {"cancelled"} | {"expired"} | {"ask"} | {"wait", reason}
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent')
if not control[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return {'wait', 'epoch'}
end
if tonumber(control[4] or '0') >= tonumber(ARGV[14]) then
  return {'wait', 'memory'}
end
local stream = ARGV[1] .. control[1]
if redis.call('XLEN', stream) >= tonumber(ARGV[13]) then
  return {'wait', 'stream'}
end
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])

local function event(kind, attempt)
  redis.call('XADD', stream, '*', 'kind', kind, 'task', ARGV[4], 'attempt', attempt, 'at', now, 'late', '0',
    'body', ARGV[10])
end

local claim = redis.call('HMGET', KEYS[2], 'state', 'attempt', 'token', 'reason', 'started_at')
local state = claim[1]
local attempt = tonumber(claim[2] or '0')
local after = tonumber(ARGV[5])
if state == 'running' and claim[3] == ARGV[6] then
  -- The same call again, after its answer was lost on the way, perhaps with the server.
  return {'run', attempt, control[1], claim[5]}
end
if control[1] ~= ARGV[3] then
  event('ask', ARGV[5])
  return {'ask'}
end
-- Postgres sends with after = N only once attempt N is over: a claim that says otherwise came back with old data.
if state == 'running' and attempt > after then
  event('duplicate', attempt)
  return {'duplicate'}
end
if state == 'closed' then
  return {claim[4]}
end
if state and attempt > after then
  event('duplicate', attempt)
  return {'duplicate'}
end
if not state and tonumber(now) - tonumber(ARGV[8]) > tonumber(ARGV[12]) then
  event('ask', after)
  return {'ask'}
end
if ARGV[9] ~= '' and tonumber(now) >= tonumber(ARGV[9]) then
  redis.call('HSET', KEYS[2], 'state', 'closed', 'attempt', after, 'reason', 'expired')
  redis.call('EXPIRE', KEYS[2], ARGV[11])
  event('expired', after)
  return {'expired'}
end
attempt = math.max(after, attempt) + 1
redis.call('HSET', KEYS[2], 'state', 'running', 'attempt', attempt, 'token', ARGV[6], 'owner', ARGV[7],
  'started_at', now)
redis.call('PERSIST', KEYS[2])
event('started', attempt)
return {'run', attempt, control[1], now}
