-- Adds requests of one kind for one server, to be done at once: one atomic step.
-- Scores are times in microseconds by the clock of this Redis.
--
-- KEYS  1 requests
-- ARGV  1 how many may wait   2 how long they are kept in ms   3 "keep" where one that was put off keeps its time
--       4 and so on: users
-- Returns how many were not added, because too many wait.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local waiting, refused = redis.call('ZCARD', KEYS[1]), 0
for i = 4, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score then
    score = tonumber(score)
    if score > now and ARGV[3] ~= 'keep' then score = now end
    -- It keeps its place, and whoever is doing it now sees that it was added again.
    redis.call('ZADD', KEYS[1], string.format('%.0f', score + 1), ARGV[i])
  elseif waiting < tonumber(ARGV[1]) then
    waiting = waiting + redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[i])
  else
    refused = refused + 1
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return refused
