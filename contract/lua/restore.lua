-- Write the claim of an attempt that a living worker still runs, after Redis lost it. An existing claim stays.
-- KEYS: control, claim
-- ARGV: epoch, run_id, attempt, token, owner
-- Answer: 1 written, 0 a claim stands there, -1 another epoch
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return -1
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], 'state', 'running', 'attempt', ARGV[3], 'token', ARGV[4], 'owner', ARGV[5],
  'started_at', string.format('%d.%06d', time[1], time[2]))
return 1
