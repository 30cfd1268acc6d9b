-- Write the claim of an attempt that a living worker still runs, after Redis lost it. One that is closed, or of the same
-- attempt or a later one, stays.
-- KEYS: control, claim
-- ARGV: epoch, run_id, attempt, token, owner
-- Answer: 1 written, 0 such a claim stands there, -1 another epoch
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return -1
end
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'attempt')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
if claim[1] and (claim[1] == 'closed' or (tonumber(claim[2] or '0') or 0) >= tonumber(ARGV[3])) then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], 'state', 'running', 'attempt', ARGV[3], 'token', ARGV[4], 'owner', ARGV[5],
  'started_at', string.format('%d.%06d', time[1], time[2]))
-- An older claim that stood here was to expire.
redis.call('PERSIST', KEYS[2])
return 1
