#!lua flags=allow-oom
-- Say how full memory is, also when it is full.
-- KEYS: control
-- ARGV: run_id (not compared: the number is this server's), used memory in percent of maxmemory
redis.call('HSET', KEYS[1], 'memory_percent', ARGV[2])
return 1
