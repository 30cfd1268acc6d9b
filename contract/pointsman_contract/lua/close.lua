-- Take the right to run away from a sent task: cancel, expiry and purge end a row only when this answers "closed".
-- KEYS: control, claim
-- ARGV: epoch, run_id, reason (cancelled or expired), claim seconds, the row's attempt
-- Answer: "closed" | "running" | "done" | "wait"
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open')
-- During a census the claims of living workers may not be there yet.
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return 'wait'
end
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'attempt')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
-- The claim of an attempt whose end the row already knows has nothing more to say.
if (claim[1] == 'running' or claim[1] == 'done') and (tonumber(claim[2] or '0') or 0) > tonumber(ARGV[5]) then
  return claim[1]
end
-- The gate passes over a claim that was closed before the attempt it is asked about was over.
redis.call('HSET', KEYS[2], 'state', 'closed', 'reason', ARGV[3], 'token', '', 'attempt',
  math.max(tonumber(claim[2] or '0') or 0, tonumber(ARGV[5])))
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 'closed'
