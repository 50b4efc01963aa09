-- Prolongs a lease, or with 0 gives it back: one atomic step.
--
-- KEYS  1 lease
-- ARGV  1 holder|fence   2 how long in ms, or 0
-- Returns 1, or 0 when the lease was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
