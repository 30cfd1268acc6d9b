-- Publish messages of one epoch, numbering them per list, and ring for idle workers.
-- KEYS: control, sequence
-- ARGV: epoch, run_id of the server as the caller's connection saw it, memory limit in percent,
--       then per message: list key, head, tail; the message is head .. sequence .. ,"sent_at":now .. tail
-- Answer: {"ok", sequence...} or {"wait", reason}: nothing was published.
-- A bell that nobody hears must not grow.
local MOST_RINGS = 64

local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return {'wait', 'epoch'}
end
if (tonumber(control[4] or '0') or 0) >= tonumber(ARGV[3]) then
  return {'wait', 'memory'}
end
-- Before anything is written: the caller hears that all were published, or none.
local looked_at = {}
for i = 4, #ARGV, 3 do
  if not looked_at[ARGV[i]] then
    looked_at[ARGV[i]] = true
    local found = redis.call('TYPE', ARGV[i]).ok
    if found ~= 'list' and found ~= 'none' then
      return {'wait', ARGV[i] .. ' is no list'}
    end
  end
end
-- A key of ours that somebody made another type of is made anew.
local function ring(bell, most, ...)
  if type(redis.pcall('LPUSH', bell, ...)) == 'table' then
    redis.call('DEL', bell)
    redis.call('LPUSH', bell, ...)
  end
  redis.call('LTRIM', bell, 0, most - 1)
end
-- A node that watches bell and list must find the bell first.
local rings = {}
for i = 4, #ARGV, 3 do
  local queue = string.match(ARGV[i], '^[^\6]+')
  rings[queue] = rings[queue] or {}
  if #rings[queue] < MOST_RINGS then
    table.insert(rings[queue], 1)
  end
end
for queue, ones in pairs(rings) do
  ring('pointsman:listener_bell:' .. queue, 1, 1)
  ring('pointsman:bell:' .. queue, MOST_RINGS, unpack(ones))
end
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
local answer = {'ok'}
for i = 4, #ARGV, 3 do
  local sequence = redis.pcall('HINCRBY', KEYS[2], ARGV[i], 1)
  if type(sequence) == 'table' then
    -- It only says how fast a list is emptied.
    if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then
      redis.call('DEL', KEYS[2])
    end
    redis.call('HSET', KEYS[2], ARGV[i], 1)
    sequence = 1
  end
  redis.call('LPUSH', ARGV[i], ARGV[i + 1] .. sequence .. ',"sent_at":' .. now .. ARGV[i + 2])
  answer[#answer + 1] = sequence
end
return answer
