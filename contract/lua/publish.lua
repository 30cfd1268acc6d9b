-- Publish messages of one epoch, numbering them per list.
-- KEYS: control, sequence
-- ARGV: epoch, run_id of the server as the caller's connection saw it, memory limit in percent,
--       then per message: list key, head, tail; the message is head .. sequence .. ,"sent_at":now .. tail
-- Answer: {"ok", sequence...} or {"wait", reason}: nothing was published.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open', 'memory_percent')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return {'wait', 'epoch'}
end
if tonumber(control[4] or '0') >= tonumber(ARGV[3]) then
  return {'wait', 'memory'}
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
