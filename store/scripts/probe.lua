-- Shows that this Redis can do what the other scripts need.
--
-- KEYS  1 and 2 keys that nothing else uses (same slot)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if not run or not history then
  return redis.error_reply('LATCHKEY this Redis does not tell its run_id and master_replid (INFO)')
end
redis.call('HMGET', KEYS[2], 'x')
redis.call('GET', KEYS[1])
redis.call('PTTL', KEYS[1])
return redis.call('SET', KEYS[1], '1', 'PX', 1000)
