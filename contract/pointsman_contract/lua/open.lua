-- Open a declared epoch: the census is over, every row that must be sent again is marked in Postgres.
-- KEYS: control
-- ARGV: epoch, run_id, then per queue that ever was paused: name, revision, 1 or 0 (as pause.lua)
-- Answer: 1, or 0 when another epoch stands here.
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] then
  return 0
end
for i = 3, #ARGV, 3 do
  local field = 'pause:' .. ARGV[i]
  local known = string.match(redis.call('HGET', KEYS[1], field) or '', '^%d+')
  if not known or tonumber(known) <= tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], field, ARGV[i + 1] .. ':' .. ARGV[i + 2])
  end
end
redis.call('HSET', KEYS[1], 'open', '1')
return 1
