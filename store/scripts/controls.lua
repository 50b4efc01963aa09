-- Returns a part of the controls.
--
-- KEYS  1 controls
-- ARGV  1 cursor, "0" at first   2 how many, about
-- Returns {target, control, target, control, ..., next cursor ("0" = that was all),
-- identity of this Redis}: a cursor is of one process and one time as primary.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if not run or not history then
  return redis.error_reply('LATCHKEY this Redis does not tell its run_id and master_replid (INFO)')
end
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local part = found[2]
part[#part + 1] = found[1]
part[#part + 1] = run .. history
return part
