-- Whether an event stream can be appended to. Its entries are not read: one may be of any size.
-- KEYS: stream
-- ARGV: run_id (not compared)
-- Answer: {type, milliseconds of the id that it is at, or '0', milliseconds now}
local kind = redis.call('TYPE', KEYS[1]).ok
local time = redis.call('TIME')
local now = string.format('%d%03d', time[1], math.floor(time[2] / 1000))
if kind ~= 'stream' then
  return {kind, '0', now}
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    return {kind, string.match(info[i + 1], '^%d+'), now}
  end
end
return {kind, '0', now}
