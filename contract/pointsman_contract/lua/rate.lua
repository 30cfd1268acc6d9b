#!lua flags=allow-oom
-- Lease permits of one caller's rate to a process of the API: GCRA, by the clock of this server. One number is kept, when
-- the caller will have all permits again. Beside it stands who asked, and below 0 who got less than they wanted: while
-- there are such processes, what is there is shared.
-- KEYS: rate of the caller
-- ARGV: process, run_id (not compared: an empty server is told what was known),
--       tasks, seconds, burst,
--       wanted, needed of them at once by a single request, given back,
--       taken without asking while this server was silent, microseconds since it was,
--       when all would be there again as the process knew it, '' for nothing
-- Answer: {leased, microseconds now, when all are there again, processes that asked within a minute}
local LATELY, A_MINUTE = 300000, 60000000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each = ARGV[4] * 1000000 / ARGV[3]
local burst = tonumber(ARGV[5])
local wanted, needed = tonumber(ARGV[6]), tonumber(ARGV[7])

-- A key of ours that somebody made another type of is made anew.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  redis.call('DEL', KEYS[1])
end
local full, askers, known = nil, 1, 1
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local field, at = flat[i], tonumber(flat[i + 1]) or 0
  if field == 'full' then
    full = at
  elseif math.abs(at) < now - A_MINUTE then
    redis.call('HDEL', KEYS[1], field)
  elseif field ~= ARGV[1] then
    known = known + 1
    if -at > now - LATELY then
      askers = askers + 1
    end
  end
end
-- Without it the clock may be another's: what was known is bounded like all else below.
full = full or tonumber(ARGV[11]) or (now - ARGV[10])
full = full + (ARGV[9] - ARGV[8]) * each
full = math.min(math.max(full, now), now + burst * each)

-- Microseconds are whole, so a little of a permit may be missing from the last one.
local there = math.floor((burst * each - (full - now)) / each + 0.000001)
local share = math.max(1, math.floor(there / askers))
local leased = math.min(there, math.max(needed, math.min(wanted, share)))
full = full + leased * each

redis.call('HSET', KEYS[1], 'full', string.format('%.0f', full))
if wanted > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', leased < wanted and -now or now))
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(full - now, A_MINUTE) / 1000 + 1))
return {leased, string.format('%.0f', now), string.format('%.0f', full), known}
