#!lua flags=allow-oom
-- Delete a key that is of another type than it must be, also when memory is full.
-- KEYS: the key
-- ARGV: run_id (not compared: a type is wrong on every server), the type
-- Answer: 1 deleted, 0 it is of that type, or gone
local found = redis.call('TYPE', KEYS[1]).ok
if found == ARGV[2] or found == 'none' then
  return 0
end
return redis.call('DEL', KEYS[1])
