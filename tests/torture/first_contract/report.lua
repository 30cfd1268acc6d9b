-- Append one outcome and finish its claim, if the claim is still this attempt's.
-- KEYS: control, claim
-- ARGV: 1 stream prefix, 2 run_id, 3 task, 4 attempt, 5 token, 6 kind, 7 body, 8 claim seconds
-- Answer: {"ok", epoch, stream id, late} | {"wait"}: no valid epoch, nothing was written
local control = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if not control[1] or control[2] ~= ARGV[2] then
  return {'wait'}
end
local claim = redis.call('HMGET', KEYS[2], 'state', 'token', 'attempt')
local late = '0'
-- The claim of an earlier attempt came back with old data; only a newer one, or a closed one, makes this outcome late.
local older = claim[1] and claim[1] ~= 'closed' and tonumber(claim[3] or '0') < tonumber(ARGV[4])
if not claim[1] or claim[2] == ARGV[5] or older then
  redis.call('HSET', KEYS[2], 'state', 'done', 'attempt', ARGV[4], 'token', ARGV[5])
  redis.call('EXPIRE', KEYS[2], ARGV[8])
else
  late = '1'
end
local time = redis.call('TIME')
local id = redis.call('XADD', ARGV[1] .. control[1], '*', 'kind', ARGV[6], 'task', ARGV[3], 'attempt', ARGV[4],
  'at', string.format('%d.%06d', time[1], time[2]), 'late', late, 'body', ARGV[7])
return {'ok', control[1], id, late}
