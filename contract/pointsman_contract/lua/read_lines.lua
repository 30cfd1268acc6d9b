-- Say that somebody reads the lines of runs, and read the oldest of them. An entry may hold any number of bytes, and
-- reading it would keep everybody waiting.
-- KEYS: control, lines
-- ARGV: 1 run_id (not compared), 2 most entries, 3 most bytes together, 4 longest entry
-- Answer: {entries as of XRANGE, id of the next one when it is too long, or ''}
local control = redis.call('HMGET', KEYS[1], 'epoch', 'lines')
if control[1] and control[2] ~= '1' then
  redis.call('HSET', KEYS[1], 'lines', '1')
end
local last, found, bytes = '-', {}, 0
while #found < tonumber(ARGV[2]) do
  local entry = redis.call('XRANGE', KEYS[2], last, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  local size = 0
  for _, word in ipairs(entry[2]) do
    size = size + #word
  end
  if size > tonumber(ARGV[4]) then
    return {found, entry[1]}
  end
  bytes = bytes + size
  if bytes > tonumber(ARGV[3]) and #found > 0 then
    break
  end
  found[#found + 1] = entry
  last = '(' .. entry[1]
end
return {found, ''}
