-- Publish messages of one epoch, numbering them per list, and ring for idle workers.
-- KEYS: control, sequence
-- ARGV: epoch, run_id of the server as the caller's connection saw it, memory limit in percent,
--       then per message: list key, head, tail; the message is head .. sequence .. ,"sent_at":now .. tail
-- Answer: {"ok", sequence...} or {"wait", reason}: nothing was published.
local MOST_RINGS = 64

local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return {'wait', 'epoch'}
end
if tonumber(control[4] or '0') >= tonumber(ARGV[3]) then
  return {'wait', 'memory'}
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
  redis.call('LPUSH', 'pointsman:listener_bell:' .. queue, 1)
  redis.call('LTRIM', 'pointsman:listener_bell:' .. queue, 0, 0)
  redis.call('LPUSH', 'pointsman:bell:' .. queue, unpack(ones))
  redis.call('LTRIM', 'pointsman:bell:' .. queue, 0, MOST_RINGS - 1)
end
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
local answer = {'ok'}
for i = 4, #ARGV, 3 do
  local sequence = redis.call('HINCRBY', KEYS[2], ARGV[i], 1)
  redis.call('LPUSH', ARGV[i], ARGV[i + 1] .. sequence .. ',"sent_at":' .. now .. ARGV[i + 2])
  answer[#answer + 1] = sequence
end
return answer
