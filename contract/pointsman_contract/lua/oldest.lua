-- When the next message of each list was published: whatever was published on that list before has left it.
-- KEYS: none
-- ARGV: 1 run_id (not compared), 2 how many messages to look at, then the lists
-- Answer: {now, then per list: '' when it is empty, '?' when none of those messages is ours, else its sent_at}
local time = redis.call('TIME')
local answer = {string.format('%d.%06d', time[1], time[2])}
for i = 3, #ARGV do
  local found = '?'
  local length = redis.pcall('LLEN', ARGV[i])
  if type(length) == 'table' then
    length = 0
  elseif length == 0 then
    found = ''
  end
  -- Workers take from the right, so the next message is the last element.
  for back = 1, math.min(length, tonumber(ARGV[2])) do
    -- kombu writes JSON with a space when it gives a message back.
    local at = string.match(redis.call('LINDEX', ARGV[i], -back), '"sent_at": ?(%d+%.?%d*)')
    if at then
      found = at
      break
    end
  end
  answer[#answer + 1] = found
end
return answer
