-- Forget a claim that says running though its task is over: it came back with old data.
-- KEYS: claim
-- ARGV: run_id (not compared: what the claim says is compared), token of the attempt that is over
-- Answer: 1 forgotten, 0 the claim says something else by now
local claim = redis.call('HMGET', KEYS[1], 'state', 'token')
if claim[1] ~= 'running' or claim[2] ~= ARGV[2] then
  return 0
end
return redis.call('DEL', KEYS[1])
