-- Removes requests that still have the time that they were read with: one atomic
-- step.
--
-- KEYS  1 requests
-- ARGV  member, score, member, score, ...
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return {'ok'}
