#!lua flags=allow-oom
-- Take the right to run away from an attempt whose worker is gone, also when memory is full: what that worker reports
-- later is late.
-- KEYS: control, claim
-- ARGV: epoch, run_id, the row's attempt, its worker, claim seconds
-- Answer: "released" | "running" (another attempt, or another worker's) | "done" (its outcome is on the way) | "wait"
-- What the column of a row takes: a larger one was written by somebody else.
local LARGEST_ATTEMPT = 32767

local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id', 'open')
if control[1] ~= ARGV[1] or control[2] ~= ARGV[2] or control[3] ~= '1' then
  return 'wait'
end
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'attempt', 'owner')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
local attempt = tonumber(claim[2] or '0') or 0
local known = {running = true, done = true, released = true, closed = true}
-- A closed claim keeps everybody out already, and must stay closed.
if claim[1] == 'closed' and attempt <= tonumber(ARGV[3]) then
  return 'released'
end
-- One of an earlier attempt came back with old data; a missing one was lost.
if known[claim[1]] and attempt >= tonumber(ARGV[3]) and attempt <= LARGEST_ATTEMPT then
  if attempt > tonumber(ARGV[3]) or (claim[1] == 'running' and claim[3] ~= ARGV[4]) then
    return 'running'
  end
  if claim[1] == 'done' then
    return 'done'
  end
end
redis.call('HSET', KEYS[2], 'state', 'released', 'attempt', ARGV[3], 'token', '', 'owner', ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 'released'
