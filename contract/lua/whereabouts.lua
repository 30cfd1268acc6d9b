-- Where a sent task is that has left its list and is not known to have started.
-- KEYS: control, claim, unacked
-- ARGV: epoch, run_id, the row's attempt, delivery tag
-- Answer: "claimed" (a newer attempt: its event is on the way) | "closed" | "unacked" (a worker fetched it) | "nowhere" |
--         "wait"
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return 'wait'
end
local claim = redis.call('HMGET', KEYS[2], 'state', 'attempt')
if claim[1] == 'closed' then
  return 'closed'
end
if claim[1] and tonumber(claim[2] or '0') > tonumber(ARGV[3]) then
  return 'claimed'
end
if redis.call('HEXISTS', KEYS[3], ARGV[4]) == 1 then
  return 'unacked'
end
return 'nowhere'
