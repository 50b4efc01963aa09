-- Returns a part of the controls.
--
-- KEYS  1 controls
-- ARGV  1 cursor, "0" at first   2 after how many the part ends, about
--       3 after how many bytes, about
-- Returns {target, control, target, control, ..., next cursor ("0" = that was all),
-- identity of this Redis}: a cursor is of one process and one time as primary.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if not run or not history then
  return redis.error_reply('LATCHKEY this Redis does not tell its run_id and master_replid (INFO)')
end
local part, bytes, cursor = {}, 0, ARGV[1]
repeat
  local found = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 50)
  cursor = found[1]
  for _, text in ipairs(found[2]) do
    part[#part + 1] = text
    bytes = bytes + #text
  end
until cursor == '0' or #part >= 2 * tonumber(ARGV[2]) or bytes >= tonumber(ARGV[3])
part[#part + 1] = cursor
part[#part + 1] = run .. history
return part
