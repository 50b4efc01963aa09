-- Keeps a control, and forgets those that ended long ago: one atomic step. Nothing
-- here looks at all controls: Redis would do nothing else meanwhile.
--
-- KEYS  1 controls   2 their version   3 their ends, of those that have one (same slot)
-- ARGV  1 target   2 control, its end (unix milliseconds, 0 = none) and "|" before it
--       3 version, a random one   4 how many may be there before one more
--       5 controls that ended before this (unix milliseconds) are forgotten
--       6 "1": the former control must be the next one
--       7 a control with its end, or "" for none
--       8 and so on: pairs of a target and a control, which are removed; each must
--       still be that
-- Returns {"ok"}, {"changed"} or {"full"}. With "changed" nothing was done.
local former = redis.call('HMGET', KEYS[1], ARGV[1])[1]
if ARGV[6] == '1' and (former or '') ~= ARGV[7] then return {'changed'} end
for i = 8, #ARGV, 2 do
  if redis.call('HMGET', KEYS[1], ARGV[i])[1] ~= ARGV[i + 1] then return {'changed'} end
end
for i = 8, #ARGV, 2 do
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
end
for _, target in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[5], 'LIMIT', 0, 500)) do
  -- The record counts: whoever wrote it may not have known of the ends.
  local record = redis.call('HMGET', KEYS[1], target)[1] or ''
  local own = string.match(record, '^(%d+)|') or '0'
  if #own > 15 then own = '0' end -- no time, and perhaps no number to Redis
  if target == ARGV[1] then
    -- It is replaced below, unless there is no room; then it stays.
  elseif tonumber(own) == 0 then
    redis.call('ZREM', KEYS[3], target)
  elseif tonumber(own) < tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], target)
    redis.call('ZREM', KEYS[3], target)
  else
    redis.call('ZADD', KEYS[3], own, target)
  end
end
if not former and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return {'full'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local ends = string.match(ARGV[2], '^%d+')
if ends == '0' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[3], ends, ARGV[1])
end
redis.call('SET', KEYS[2], ARGV[3])
return {'ok'}
