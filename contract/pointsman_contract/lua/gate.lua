-- May this message's task run now? Claims it when it may.
-- KEYS: control, claim, breakers
-- ARGV: 1 stream prefix, 2 run_id, 3 epoch of the message, 4 task, 5 after, 6 token, 7 owner, 8 sent_at,
--       9 expires_at or '', 10 body of the event, 11 claim seconds, 12 ask seconds, 13 longest stream, 14 memory percent,
--       15 queue, 16 signatures or '', then the circuit breakers of the task
-- Signatures: time of the event, name of the key, mark, then a MAC for each event that this may become: started, ask,
-- duplicate, expired (or -), held by each of the breakers. Its attempt is the one after ARGV[5], of the others ARGV[5].
-- Answer: {"run", attempt, epoch, started_at, epochs of the breakers or '' when all are 0} | {"duplicate"}
--       | {"cancelled"} | {"expired"} | {"ask"} | {"paused"} | {"held"} | {"wait", reason}
-- What the column of a row takes: a larger one was written by somebody else.
local LARGEST_ATTEMPT = 32767

local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent', 'pause:' .. (ARGV[15] or ''))
-- Until the census is over the claims of living workers may not be back: anybody could claim what they run.
if not control[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return {'wait', 'epoch'}
end
-- What starts now has to report, and a full Redis refuses that.
if (tonumber(control[4] or '0') or 0) >= tonumber(ARGV[14]) then
  return {'wait', 'memory'}
end
-- The stream is memory, too, and only the recorder makes it shorter.
local stream = ARGV[1] .. control[1]
if redis.call('XLEN', stream) >= tonumber(ARGV[13]) then
  return {'wait', 'stream'}
end
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])

local signed, at = nil, now
if ARGV[16] ~= '' then
  signed = {}
  for word in string.gmatch(ARGV[16], '%S+') do
    signed[#signed + 1] = word
  end
  at = signed[1]
end
local STARTED, ASK, DUPLICATE, EXPIRED, HELD = 4, 5, 6, 7, 7

local function event(kind, attempt, place, ...)
  local fields = {'kind', kind, 'task', ARGV[4], 'attempt', attempt, 'at', at, 'late', '0', 'body', ARGV[10], ...}
  if signed then
    fields[#fields + 1] = 'signed'
    fields[#fields + 1] = signed[2] .. ' ' .. signed[3] .. ' ' .. signed[place]
  end
  redis.call('XADD', stream, '*', unpack(fields))
end

local function permitted(json)
  local fine, breaker = pcall(cjson.decode, json)
  return fine and type(breaker) == 'table' and type(breaker.permits) == 'table' and breaker.permits[ARGV[4]]
end

-- Which breaker holds the task, and the epochs of all when one has any.
local function ask_breakers()
  if #ARGV < 17 then
    return nil, ''
  end
  local held_by, epochs = nil, nil
  for i, entry in ipairs(redis.call('HMGET', KEYS[3], unpack(ARGV, 17))) do
    if entry then
      -- What is no entry is soon replaced.
      local mark, epoch, json = string.match(entry, '^(.)(%d+)|(.*)$')
      epochs = epochs or {}
      epochs[i] = epoch
      if mark == '!' or (mark == '?' and not permitted(json)) then
        held_by = held_by or i
      end
    end
  end
  if not epochs then
    return held_by, ''
  end
  for i = 1, #ARGV - 16 do
    epochs[i] = epochs[i] or '0'
  end
  return held_by, table.concat(epochs, ',')
end

local claim = redis.pcall('HMGET', KEYS[2], 'state', 'attempt', 'token', 'reason', 'started_at')
local known = {running = true, done = true, released = true, closed = claim[4]}
if claim.err or (claim[1] and not (known[claim[1]] and (tonumber(claim[2] or '0') or math.huge) <= LARGEST_ATTEMPT)) then
  -- Somebody else wrote it: it says nothing of this task.
  redis.call('DEL', KEYS[2])
  claim = {}
end
local state = claim[1]
local attempt = state and tonumber(claim[2] or '0') or 0
local after = tonumber(ARGV[5])
if state == 'running' and claim[3] == ARGV[6] then
  -- The same call again, after its answer was lost on the way, perhaps with the server.
  local _, epochs = ask_breakers()
  return {'run', attempt, control[1], claim[5], epochs}
end
if control[1] ~= ARGV[3] then
  event('ask', ARGV[5], ASK)
  return {'ask'}
end
-- Postgres sends with after = N only once attempt N is over: a claim that says otherwise came back with old data.
if state == 'running' and attempt > after then
  event('duplicate', signed and ARGV[5] or attempt, DUPLICATE)
  return {'duplicate'}
end
-- One that was closed before attempt N was recorded stands in nobody's way after it. A closer of an earlier release
-- does not say when.
if state == 'closed' and not (claim[2] and attempt < after) then
  return {claim[4]}
end
if state and attempt > after then
  event('duplicate', signed and ARGV[5] or attempt, DUPLICATE)
  return {'duplicate'}
end
-- It may have run: a finished claim is not kept for longer than this.
if not state and tonumber(now) - tonumber(ARGV[8]) > tonumber(ARGV[12]) then
  event('ask', after, ASK)
  return {'ask'}
end
if ARGV[9] ~= '' and tonumber(now) >= tonumber(ARGV[9]) then
  redis.call('HSET', KEYS[2], 'state', 'closed', 'attempt', after, 'reason', 'expired')
  redis.call('EXPIRE', KEYS[2], ARGV[11])
  event('expired', after, EXPIRED)
  return {'expired'}
end
if control[5] and string.sub(control[5], -2) == ':1' then
  -- The message is dropped, and the task waits in Postgres until its queue is resumed.
  event('ask', after, ASK)
  return {'paused'}
end
local held_by, epochs = ask_breakers()
if held_by then
  -- Nothing is claimed: the task waits in Postgres, and no attempt is spent.
  event('held', after, HELD + held_by, 'breaker', ARGV[16 + held_by])
  return {'held'}
end
attempt = math.max(after, attempt) + 1
redis.call('HSET', KEYS[2], 'state', 'running', 'attempt', attempt, 'token', ARGV[6], 'owner', ARGV[7],
  'started_at', at)
-- The claim of the attempt before was to expire. One that runs must not, however long it takes.
redis.call('PERSIST', KEYS[2])
event('started', attempt, STARTED)
return {'run', attempt, control[1], at, epochs}
