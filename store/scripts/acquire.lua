-- Takes the lease of a server: one atomic step.
--
-- KEYS  1 lease   2 fence, the last one that was given (same slot)
-- ARGV  1 holder   2 how long in ms
-- Returns {"ok", fence} or {"held", holder, for how long in ms}.
local lease = redis.call('GET', KEYS[1])
local holder = lease and string.match(lease, '^(.*)|%d+$')
-- A holder that asks again has lost the reply.
if holder and holder ~= ARGV[1] then
  return {'held', holder, string.format('%.0f', redis.call('PTTL', KEYS[1]))}
end
local fence = string.format('%.0f', tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. fence, 'PX', ARGV[2])
return {'ok', fence}
