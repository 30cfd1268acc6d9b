-- Append lines that a run wrote (pointsman_contract.run_log), while somebody reads them and there is room.
-- KEYS: control, lines
-- ARGV: 1 run_id (not compared: lines belong to no epoch), 2 task, 3 attempt, 4 run, 5 number of the first line, 6 how
--       many lines, 7 1 when no others follow, 8 the lines, 9 most entries, 10 most memory in percent, 11 seconds to keep,
--       and, where lines are signed, 12 their signature
-- Answer: {"ok"} | {"no", why}: nothing was written, they may be sent again
local control = redis.call('HMGET', KEYS[1], 'lines', 'memory_percent')
if not control[1] then
  return {'no', 'nobody reads them'}
end
if (tonumber(control[2] or '0') or 0) >= tonumber(ARGV[10]) then
  return {'no', 'memory is short'}
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[9]) then
  return {'no', 'too many wait'}
end
local fields = {'task', ARGV[2], 'attempt', ARGV[3], 'run', ARGV[4], 'first', ARGV[5], 'count', ARGV[6],
  'last', ARGV[7], 'lines', ARGV[8]}
if ARGV[12] then
  fields[#fields + 1] = 'signed'
  fields[#fields + 1] = ARGV[12]
end
redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('EXPIRE', KEYS[2], ARGV[11])
return {'ok'}
