-- Removes requests, or puts them off, that were not added again since they were
-- read: one atomic step.
--
-- KEYS  1 requests
-- ARGV  1 how long they are put off in microseconds, or 0 to remove them
--       2 and so on: user, score, user, score, ...
local t = redis.call('TIME')
local due = tonumber(t[1]) * 1000000 + tonumber(t[2]) + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    if ARGV[1] == '0' then
      redis.call('ZREM', KEYS[1], ARGV[i])
    else
      redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[i])
    end
  end
end
return {'ok'}
