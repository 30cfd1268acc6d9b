-- Append an event that belongs to no claim: native runs, catalogues, unknown task types.
-- KEYS: control
-- ARGV: stream prefix, run_id, kind, task or '', body, and, where events are signed: time of the event, name of the key,
--       mark, MAC
-- Answer: {"ok", epoch, stream id} | {"wait"}
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if not control[1] or control[2] ~= ARGV[2] then
  return {'wait'}
end
-- Also during a census: it claims nothing, so it need not wait.
local time = redis.call('TIME')
local at = string.format('%d.%06d', time[1], time[2])
local fields = {'kind', ARGV[3], 'task', ARGV[4], 'attempt', '0', 'at', ARGV[6] or at, 'late', '0', 'body', ARGV[5]}
if ARGV[6] then
  fields[#fields + 1] = 'signed'
  fields[#fields + 1] = ARGV[7] .. ' ' .. ARGV[8] .. ' ' .. ARGV[9]
end
local id = redis.call('XADD', ARGV[1] .. control[1], '*', unpack(fields))
return {'ok', control[1], id}
