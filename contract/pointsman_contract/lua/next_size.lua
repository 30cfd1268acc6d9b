-- How many of the next entries of a stream fit into so many bytes: an entry may hold any number of them, and reading it
-- would keep everybody waiting.
-- KEYS: stream
-- ARGV: run_id (not compared), id before the first of them, most entries, most bytes together, longest entry
-- Answer: {entries, id of the first one when it is too long, or ''}
local last, fitting, bytes = ARGV[2], 0, 0
while fitting < tonumber(ARGV[3]) do
  local entry = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  local size = 0
  for _, word in ipairs(entry[2]) do
    size = size + #word
  end
  if size > tonumber(ARGV[5]) and fitting == 0 then
    return {0, entry[1]}
  end
  bytes = bytes + size
  if size > tonumber(ARGV[5]) or (bytes > tonumber(ARGV[4]) and fitting > 0) then
    break
  end
  last = entry[1]
  fitting = fitting + 1
end
return {fitting, ''}
