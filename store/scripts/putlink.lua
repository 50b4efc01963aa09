-- Keeps a link of an account: one atomic step.
--
-- KEYS  1 account
-- ARGV  1 app   2 digest of the link token   3 created (4 bytes)
--       4 subscriber   5 "1" to replace a link that is there
-- Returns {"ok"}, {"exists"} or {"subscriber"}.
local stored = redis.call('HMGET', KEYS[1], '/subscriber', ARGV[1])
if stored[1] and stored[1] ~= ARGV[4] then return {'subscriber'} end
local generation = 1
if stored[2] then
  if ARGV[5] ~= '1' then return {'exists'} end
  generation = (tonumber(string.sub(stored[2], 37)) or 0) + 1
end
redis.call('HSET', KEYS[1], '/subscriber', ARGV[4],
  ARGV[1], ARGV[2] .. ARGV[3] .. string.format('%d', generation))
return {'ok'}
