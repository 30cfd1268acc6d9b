-- Whose messages are on the broker: the ids of some tasks, evenly spread over all lists of each queue.
-- KEYS: none
-- ARGV: 1 run_id (not compared), 2 most tasks of a queue, 3 lists of a queue, then every list key of the first queue, of
--       the second, ...
-- Answer: per queue {id, ...}; fewer where a message is none of ours
local most, lists = tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
for first = 4, #ARGV, lists do
  local lengths, total, found = {}, 0, {}
  for i = first, first + lists - 1 do
    local length = redis.pcall('LLEN', ARGV[i])
    lengths[i] = type(length) == 'table' and 0 or length
    total = total + lengths[i]
  end
  local some = math.min(most, total)
  local list, before = first, 0
  for n = 0, some - 1 do
    local place = some == 1 and 0 or math.floor(n * (total - 1) / (some - 1))
    while place >= before + lengths[list] do
      before = before + lengths[list]
      list = list + 1
    end
    -- The id stands behind the arguments, which are long. kombu writes a space when it gives a message back.
    local message = redis.call('LINDEX', ARGV[list], place - before)
    found[#found + 1] = string.match(string.sub(message, -8192), '"correlation_id": ?"([%x-]+)"')
  end
  answer[#answer + 1] = found
end
return answer
