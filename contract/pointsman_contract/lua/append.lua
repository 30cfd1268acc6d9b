-- Append an event that belongs to no claim: native runs, catalogues, unknown task types.
-- KEYS: control
-- ARGV: stream prefix, run_id, kind, task or '', body
-- Answer: {"ok", epoch, stream id} | {"wait"}
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if not control[1] or control[2] ~= ARGV[2] then
  return {'wait'}
end
-- Also during a census: it claims nothing, so it need not wait.
local time = redis.call('TIME')
local id = redis.call('XADD', ARGV[1] .. control[1], '*', 'kind', ARGV[3], 'task', ARGV[4], 'attempt', '0',
  'at', string.format('%d.%06d', time[1], time[2]), 'late', '0', 'body', ARGV[5])
return {'ok', control[1], id}
