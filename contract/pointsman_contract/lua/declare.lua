-- Declare an epoch on this server. Gate and publish stay shut until open.lua; reports are accepted at once.
-- KEYS: control
-- ARGV: epoch, run_id, what stands here and is no epoch, or ''
-- Answer: 1, or 0 when a newer epoch stands here already: the caller is no longer the leader.
local stands = redis.call('HGET', KEYS[1], 'epoch')
local current = tonumber(stands or '0')
if stands ~= ARGV[3] and (not current or current > tonumber(ARGV[1])) then
  return 0
end
-- Whatever an older epoch said, positions and pauses among it, is said anew.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'run_id', ARGV[2], 'open', '0', 'memory_percent', '0')
return 1
