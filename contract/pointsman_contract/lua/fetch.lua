#!lua flags=allow-oom
-- Acknowledge messages, take others off their lists and put those among kombu's unacknowledged ones, all in one step.
-- Queues are emptied in the order given, each from its most urgent list on. Moving a message needs no new memory.
-- KEYS: unacked, unacked index, last fetch of the caller
-- ARGV: 1 name of the caller, 2 number of this fetch, 3 most messages, 4 last step, 5 number of queues, the queues,
--       the delivery tags to acknowledge
-- Answer: {queues whose lists the caller shall watch, then per message: queue, delivery tag, message}.
--       The tag is '' when none can be read, so that nobody could hold it: then it is set aside, and the third its length.
local LISTENER_MILLISECONDS = 3000
local SET_ASIDE, COUNTS = 'pointsman:set_aside', 'pointsman:set_aside_counts'
local MOST_SET_ASIDE, CUT_BYTES = 1000, 2048
local LONGEST_TAG = 300 -- Beats name them.

if #ARGV > 5 + ARGV[5] then
  local tags = {unpack(ARGV, 6 + ARGV[5])}
  redis.call('ZREM', KEYS[2], unpack(tags))
  redis.call('HDEL', KEYS[1], unpack(tags))
end

-- A message that was taken off its list and could not be put there would be lost.
for key, kind in pairs({[KEYS[1]] = 'hash', [KEYS[2]] = 'zset'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ' and no ' .. kind .. ': nothing is fetched')
  end
end

local most = tonumber(ARGV[3])
local unwatchable = {}
local answer = {{}}
local fetched = {ARGV[2]}
local now

-- Reading a message of 100 MB would keep everybody waiting for seconds. Of one that is longer than this only the end is
-- looked at: kombu writes the properties last, and the delivery tag last of them.
local LONGEST_READ = 1024 * 1024
local LONGEST_END = 4096

local function properties_of(raw)
  if #raw > LONGEST_READ then
    local tag = string.match(string.sub(raw, -LONGEST_END), '"delivery_tag": ?"([^"\\\\]+)"')
    return tag and {delivery_tag = tag}
  end
  local fine, message = pcall(cjson.decode, raw)
  return fine and type(message) == 'table' and message.properties
end

local function write(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    -- Somebody wrote something else there. It is ours, and what is set aside must not be lost for it.
    redis.call('DEL', ({...})[2])
    redis.call(...)
  end
end

local function set_aside(raw, queue)
  local head, tail = raw, ''
  if #raw > 2 * CUT_BYTES then
    head, tail = string.sub(raw, 1, CUT_BYTES), string.sub(raw, -CUT_BYTES)
  end
  write('XADD', SET_ASIDE, 'MAXLEN', MOST_SET_ASIDE, '*', 'queue', queue, 'reason', 'it cannot be read, or has no delivery tag',
    'bytes', #raw, 'head', head, 'tail', tail)
  write('HINCRBY', COUNTS, 'total:' .. queue, 1)
  write('HINCRBY', COUNTS, 'open:' .. queue, 1)
end

local function place(raw, queue)
  local properties = properties_of(raw)
  local tag = type(properties) == 'table' and properties.delivery_tag
  -- The tags of a fetch are kept as lines of text.
  if type(tag) ~= 'string' or tag == '' or #tag > LONGEST_TAG or string.find(tag, '[^\32-\126]') then
    set_aside(raw, queue)
    return '', tostring(#raw)
  end
  local info = properties.delivery_info
  local exchange = ''
  -- Given back by any other way than its own queue's it might reach nobody.
  if type(info) == 'table' and info.routing_key == queue and info.exchange == queue then
    exchange = queue
  end
  if not now then
    local time = redis.call('TIME')
    now = string.format('%d.%06d', time[1], time[2])
  end
  redis.call('ZADD', KEYS[2], now, tag)
  redis.call('HSET', KEYS[1], tag,
    '[' .. raw .. ',' .. cjson.encode(exchange) .. ',' .. cjson.encode(queue) .. ']')
  fetched[#fetched + 1] = tag
  return tag, raw
end

for q = 6, 5 + ARGV[5] do
  local queue = ARGV[q]
  local broken = {}
  local lists = {queue}
  for step = 1, tonumber(ARGV[4]) do
    lists[step + 1] = queue .. '\6\22' .. step
  end
  local waiting = redis.call('EXISTS', unpack(lists)) > 0
  if waiting and most > 0 then
    for _, list in ipairs(lists) do
      local popped = redis.pcall('RPOP', list, most) or {}
      if popped.err then
        -- Somebody's key of another type: it must not stop the other lists.
        broken[list] = true
        popped = {}
      end
      for _, raw in ipairs(popped) do
        most = most - 1
        local tag, text = place(raw, queue)
        answer[#answer + 1] = queue
        answer[#answer + 1] = tag
        answer[#answer + 1] = text
      end
      if most == 0 then
        break
      end
    end
    waiting = false
    if not next(broken) then
      waiting = redis.call('EXISTS', unpack(lists)) > 0
    else
      for _, list in ipairs(lists) do
        waiting = waiting or (not broken[list] and redis.call('EXISTS', list) > 0)
      end
      unwatchable[queue] = true
    end
  end
  local bell = 'pointsman:bell:' .. queue
  local listener_bell = 'pointsman:listener_bell:' .. queue
  if not waiting then
    redis.call('DEL', bell, listener_bell)
  else
    -- Others may be idle.
    for _, silent in ipairs({bell, listener_bell}) do
      if redis.call('EXISTS', silent) == 0 then
        redis.call('LPUSH', silent, 1)
      end
    end
  end
end

if #fetched > 1 then
  redis.call('SET', KEYS[3], table.concat(fetched, '\n'), 'EX', 600)
end
if most > 0 then
  -- The caller is going to wait. One waiting node of a queue also looks after publishers that ring no bell.
  for q = 6, 5 + ARGV[5] do
    local listener = 'pointsman:listener:' .. ARGV[q]
    local name = redis.pcall('GET', listener)
    if not unwatchable[ARGV[q]] and (type(name) ~= 'string' or name == ARGV[1]) then
      redis.call('SET', listener, ARGV[1], 'PX', LISTENER_MILLISECONDS)
      answer[1][#answer[1] + 1] = ARGV[q]
    end
  end
end
return answer
