-- May this attempt begin a step that happens at most once across the attempts of its task?
-- KEYS: control, claim, once
-- ARGV: 1 run_id, 2 key of the step, 3 token of the attempt, 4 number of this call, 5 attempt, 6 seconds to remember
-- Answer: {"first"} | {"earlier", record} | {"lost"}: the claim is another attempt's | {"wait"}: no valid epoch
local control = redis.call('HMGET', KEYS[1], 'run_id', 'open')
if control[1] ~= ARGV[1] or control[2] ~= '1' then
  return {'wait'}
end
local claim = redis.pcall('HMGET', KEYS[2], 'state', 'token')
if claim.err then
  redis.call('DEL', KEYS[2])
  claim = {}
end
-- A missing claim was lost with Redis: the attempt that asks is the only one known.
if claim[1] and claim[2] ~= ARGV[3] then
  return {'lost'}
end
local record = redis.call('HGET', KEYS[3], ARGV[2])
if record then
  if cjson.decode(record)['call'] == ARGV[4] then
    -- The same call again, after its answer was lost on the way.
    return {'first'}
  end
  return {'earlier', record}
end
redis.call('HSET', KEYS[3], ARGV[2], cjson.encode({call = ARGV[4], attempt = tonumber(ARGV[5])}))
redis.call('EXPIRE', KEYS[3], ARGV[6])
return {'first'}
