-- Where a sent task is that has left its list and is not known to have started.
-- KEYS: control, claim, unacked
-- ARGV: epoch, run_id, the row's attempt, delivery tag
-- Answer: "claimed" (a newer attempt: its event is on the way) | "closed" | "unacked" (a worker fetched it) | "nowhere" |
--         "wait"
-- What the column of a row takes: a larger one was written by somebody else.
local LARGEST_ATTEMPT = 32767

local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return 'wait'
end
-- The claim first: a message that began to run may be acknowledged already, and is not lost for that.
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'attempt')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
if claim[1] == 'closed' then
  return 'closed'
end
local known = {running = true, done = true, released = true}
local attempt = tonumber(claim[2] or '0') or 0
if known[claim[1]] and attempt > tonumber(ARGV[3]) and attempt <= LARGEST_ATTEMPT then
  return 'claimed'
end
if redis.call('HEXISTS', KEYS[3], ARGV[4]) == 1 then
  return 'unacked'
end
return 'nowhere'
