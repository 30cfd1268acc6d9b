#!lua flags=allow-oom
-- Say what circuit breakers are now, each only if it is still what the caller saw. What opened meanwhile stays.
-- KEYS: breakers, failures in a row of each breaker
-- ARGV: run_id (not compared: Postgres says the same to every server), then per breaker: field, entry seen or '',
--       new entry or '' to forget it, 1 when its failures in a row begin anew
-- Answer: how many were written
local written = 0
for i = 2, #ARGV, 4 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1] then
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
    if ARGV[i + 3] == '1' then
      redis.call('HDEL', KEYS[2], ARGV[i])
    end
    written = written + 1
  end
end
return written
