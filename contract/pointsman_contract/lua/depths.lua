-- How full the broker is, for the window.
-- KEYS: control, sequence, window, then keys of others that must be of a type: unacked, unacked index
-- ARGV: run_id, number of queues, then the queue names, then every list key of the first queue, of the second, ...
--       (the same number for each)
-- Answer: {epoch or -1 when gate and publish are shut, memory percent, {keys of another type than theirs}, then per queue:
--         messages, or -1 when one of its lists is none, published, window or '', pause or ''}
local queues = tonumber(ARGV[2])
local first = 3 + queues
local lists = (#ARGV - 2 - queues) / queues
local broken = {}

-- What cannot be read stops none of the other queues.
local function fields(key, names)
  local found = redis.pcall('HMGET', key, unpack(names))
  return found.err and {} or found
end

local pauses = {}
for q = 1, queues do
  pauses[q] = 'pause:' .. ARGV[2 + q]
end
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent', unpack(pauses))
local windows = fields(KEYS[3], {unpack(ARGV, 3, 2 + queues)})
local answer = {-1, tonumber(control[4] or '0') or 0, broken}
if control[1] and control[2] == ARGV[1] and control[3] == '1' then
  answer[1] = tonumber(control[1]) or -1
end
for key, kind in pairs({[KEYS[4]] = 'hash', [KEYS[5]] = 'zset'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    broken[#broken + 1] = key
  end
end
for q = 1, queues do
  local names = {unpack(ARGV, first + (q - 1) * lists, first + q * lists - 1)}
  local messages, published = 0, 0
  -- This runs ten times a second in every API process, and nearly all lists are empty nearly always.
  if redis.call('EXISTS', unpack(names)) > 0 then
    for _, name in ipairs(names) do
      local length = redis.pcall('LLEN', name)
      if type(length) == 'table' then
        broken[#broken + 1] = name
        messages = -math.huge
      else
        messages = messages + length
      end
    end
  end
  local numbers = fields(KEYS[2], names)
  for i = 1, #names do
    published = published + (tonumber(numbers[i] or '0') or 0)
  end
  answer[#answer + 1] = math.max(messages, -1)
  answer[#answer + 1] = published
  answer[#answer + 1] = windows[q] or ''
  answer[#answer + 1] = control[4 + q] or ''
end
return answer
