-- Take the right to run away from a sent task: cancel, expiry and purge end a row only when this answers "closed".
-- KEYS: control, claim
-- ARGV: epoch, run_id, reason (cancelled or expired), claim seconds
-- Answer: "closed" | "running" | "done" | "wait"
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return 'wait'
end
local state = redis.call('HGET', KEYS[2], 'state')
if state == 'running' or state == 'done' then
  return state
end
redis.call('HSET', KEYS[2], 'state', 'closed', 'reason', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 'closed'
