-- Open a declared epoch: the census is over, every row that must be sent again is marked in Postgres.
-- KEYS: control
-- ARGV: epoch, run_id
-- Answer: 1, or 0 when another epoch stands here.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'open', '1')
return 1
