#!lua flags=allow-oom
-- Say which queues are paused; older news than what stands here changes nothing.
-- KEYS: control
-- ARGV: run_id (not compared: Postgres says the same to every server), then per queue: name, revision, 1 or 0
-- Answer: 1
for i = 2, #ARGV, 3 do
  local field = 'pause:' .. ARGV[i]
  local known = string.match(redis.call('HGET', KEYS[1], field) or '', '^%d+')
  if not known or tonumber(known) <= tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], field, ARGV[i + 1] .. ':' .. ARGV[i + 2])
  end
end
return 1
