#!lua flags=allow-oom
-- Discard what was set aside, up to and with one entry: what came after was not seen yet.
-- KEYS: set aside, their counts
-- ARGV: 1 run_id (not compared: the entries lie on this server), 2 id of the entry
-- Answer: {how many were discarded, how many are left}
local old = redis.call('XRANGE', KEYS[1], '-', ARGV[2])
for _, entry in ipairs(old) do
  redis.call('XDEL', KEYS[1], entry[1])
end
-- Counted anew and not subtracted: entries also leave when there are too many, and nobody counts those.
local left = redis.call('XRANGE', KEYS[1], '-', '+')
local open = {}
for _, entry in ipairs(left) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'queue' then
      local field = 'open:' .. entry[2][i + 1]
      open[field] = (open[field] or 0) + 1
    end
  end
end
if #old > 0 then
  local counts = redis.call('HGETALL', KEYS[2])
  for i = 1, #counts, 2 do
    if string.sub(counts[i], 1, 5) == 'open:' then
      redis.call('HSET', KEYS[2], counts[i], open[counts[i]] or 0)
    end
  end
end
return {#old, #left}
