-- Keeps a control, and forgets those that ended long ago: one atomic step.
--
-- KEYS  1 controls   2 their version (same slot)
-- ARGV  1 target   2 control, its end (unix milliseconds, 0 = none) and "|" before it
--       3 version, a random one   4 how many are kept
--       5 controls that ended before this (unix milliseconds) are forgotten
--       6 "1": the former control must be the next one
--       7 a control with its end, or "" for none
-- Returns {"ok"}, {"changed"} or {"full"}.
local former = redis.call('HMGET', KEYS[1], ARGV[1])[1] or ''
if ARGV[6] == '1' and former ~= ARGV[7] then return {'changed'} end
local others, flat = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local ended = tonumber(string.match(flat[i + 1], '^(%d+)|') or 0)
  if flat[i] == ARGV[1] then
    -- replaced below
  elseif ended > 0 and ended < tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], flat[i])
  else
    others = others + 1
  end
end
if others >= tonumber(ARGV[4]) then return {'full'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return {'ok'}
