#!lua flags=allow-oom
-- Keep a message that nobody can run, count it, and take it from among the unacknowledged ones, in one step.
-- KEYS: set aside, their counts, unacked, unacked index
-- ARGV: 1 run_id (not compared: the message lies on this server), 2 most kept, 3 delivery tag or '', 4 queue,
--       then field, value of the rest of the entry
-- Answer: id of the entry
local function write(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then
    return answer
  end
  -- Somebody wrote something else there. It is ours, and what is set aside must not be lost for it.
  redis.call('DEL', ({...})[2])
  return redis.call(...)
end

local id = write('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'queue', ARGV[4], unpack(ARGV, 5))
write('HINCRBY', KEYS[2], 'total:' .. ARGV[4], 1)
write('HINCRBY', KEYS[2], 'open:' .. ARGV[4], 1)
if ARGV[3] ~= '' then
  -- Of another type they hold no message; failing here it would be kept, and counted, again and again.
  redis.pcall('ZREM', KEYS[4], ARGV[3])
  redis.pcall('HDEL', KEYS[3], ARGV[3])
end
return id
