-- Ask the worker that runs a task to end it. The claim carries the request; the worker's parent reads it there.
-- KEYS: control, claim
-- ARGV: epoch, run_id, grace seconds; inf takes back that it would be killed, and asks for nothing; where requests are
--       signed, their signature
-- Answer: "running", or the claim's other state, "none" or "wait": nothing was asked.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return 'wait'
end
local state = redis.pcall('HGET', KEYS[2], 'state')
if type(state) == 'table' then
  state = false
end
if state ~= 'running' then
  return state or 'none'
end
if ARGV[3] ~= 'inf' or redis.call('HEXISTS', KEYS[2], 'cancel') == 1 then
  redis.call('HSET', KEYS[2], 'cancel', ARGV[4] and (ARGV[3] .. ' ' .. ARGV[4]) or ARGV[3])
end
return 'running'
