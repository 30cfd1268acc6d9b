-- Publish messages of one epoch, numbering them per list, and ring for idle workers.
-- KEYS: control, sequence
-- ARGV: epoch, run_id of the server as the caller's connection saw it, memory limit in percent,
--       then per message: list key, head, tail; the message is head .. sequence .. ,"sent_at":now .. tail.
--       After them, or not: how many of the first of them are to be fetched before all that is on their lists
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
for i = 4, #ARGV - 2, 3 do
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
for i = 4, #ARGV - 2, 3 do
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
local fronts = (#ARGV - 3) % 3 == 1 and tonumber(ARGV[#ARGV]) or 0
-- What goes to the front says that it was sent when the next message of ours was: by that it is known what has left its
-- list. Where there is none among the first ones nothing is put before them.
local MOST_LOOKED_AT = 20
local front_of, to_the_front = {}, {}
local function front(list)
  if front_of[list] == nil then
    front_of[list] = false
    for back = 1, math.min(redis.call('LLEN', list), MOST_LOOKED_AT) do
      local at = string.match(redis.call('LINDEX', list, -back), '"sent_at": ?(%d+%.?%d*)')
      if at then
        front_of[list] = at
        break
      end
    end
  end
  return front_of[list]
end
for i = 4, #ARGV - 2, 3 do
  local sequence = redis.pcall('HINCRBY', KEYS[2], ARGV[i], 1)
  if type(sequence) == 'table' then
    -- It only says how fast a list is emptied.
    if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then
      redis.call('DEL', KEYS[2])
    end
    redis.call('HSET', KEYS[2], ARGV[i], 1)
    sequence = 1
  end
  local head, sent_at = ARGV[i + 1] .. sequence .. ',"sent_at":', i < 4 + 3 * fronts and front(ARGV[i])
  if sent_at then
    to_the_front[#to_the_front + 1] = {ARGV[i], head .. sent_at .. ARGV[i + 2]}
  else
    redis.call('LPUSH', ARGV[i], head .. now .. ARGV[i + 2])
  end
  answer[#answer + 1] = sequence
end
for place = #to_the_front, 1, -1 do
  redis.call('RPUSH', unpack(to_the_front[place]))
end
return answer
