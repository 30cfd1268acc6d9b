-- How full the broker is, for the window.
-- KEYS: control, sequence, window
-- ARGV: run_id, number of queues, then the queue names, then every list key of the first queue, of the second, ...
--       (the same number for each)
-- Answer: {epoch or -1 when gate and publish are shut, memory percent, then per queue: messages, published, window or '', pause or ''}
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent')
local queues = tonumber(ARGV[2])
local first = 3 + queues
local lists = (#ARGV - 2 - queues) / queues
local answer = {-1, tonumber(control[4] or '0')}
if control[1] and control[2] == ARGV[1] and control[3] == '1' then
  answer[1] = tonumber(control[1])
end
for q = 1, queues do
  local messages, published = 0, 0
  for i = first + (q - 1) * lists, first + q * lists - 1 do
    messages = messages + redis.call('LLEN', ARGV[i])
    published = published + tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '0')
  end
  answer[#answer + 1] = messages
  answer[#answer + 1] = published
  answer[#answer + 1] = redis.call('HGET', KEYS[3], ARGV[2 + q]) or ''
  answer[#answer + 1] = redis.call('HGET', KEYS[1], 'pause:' .. ARGV[2 + q]) or ''
end
return answer
