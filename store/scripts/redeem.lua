-- Redeems a one-time token: one atomic step.
--
-- KEYS  1 one-time token
-- ARGV  1 redeemer   2 claim   3 claim of the trusted proxy, or ""
--       4 now (unix seconds)   5 how long records stay after the lifetime in ms
--       6 "local", or "replicated": the caller waits until replicas have what was
--         written
-- Returns {outcome, grant, claim that took it, when (unix seconds)}; the last two
-- are empty when nobody has.
-- survived reports whether a token that counts on replicas is honoured here: by the
-- process that issued it, or by a replica that was promoted in its place. It ran when
-- the token was issued, so what it has did not come from an old disk; and it took over
-- from that very history, so neither did what it copied.
local function survived(bound, run, history)
  local issuer, born, at = string.sub(bound, 11, 50), string.sub(bound, 51, 90), tonumber(string.sub(bound, 91))
  local former = string.match(redis.call('INFO', 'replication'), 'master_replid2:(%w+)')
  if history ~= born and former ~= born then return false end
  if run == issuer then return true end
  local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
  return uptime ~= nil and tonumber(redis.call('TIME')[1]) - uptime < at
end

if ARGV[2] == '' then return redis.error_reply('LATCHKEY a redemption needs a claim') end
local record = redis.call('GET', KEYS[1])
if not record then return {'unknown'} end
local bound, redeemer, taken, grant = string.match(record, '^(%w+)|([^|]*)|([^|]*)|(.*)$')
if not bound then
  return redis.error_reply('LATCHKEY a one-time token record is damaged')
end
-- What belongs to another redeemer does not exist, and is not consumed.
if redeemer ~= ARGV[1] then return {'unknown'} end

local claim, proxy, at = string.match(taken, '^(%w+),(%w*),(%-?%d+)$')
if taken ~= '' and not claim then
  return redis.error_reply('LATCHKEY a one-time token record is damaged')
end
-- What tells of a redemption counts when replicas have that: it is written again, so
-- that what the caller waits for comes after it.
if claim and ARGV[6] == 'replicated' and string.sub(bound, 1, 10) == 'replicated' then
  redis.call('SET', KEYS[1], record, 'KEEPTTL')
end
local same = claim and (claim == ARGV[2] or (proxy ~= '' and proxy == ARGV[3]))
if claim and not same then return {'used', grant, claim, at} end

-- Only the process that issued the token honours it, and only while it was
-- primary without a break: see package store.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if not run or not history then
  return redis.error_reply('LATCHKEY this Redis does not tell its run_id and master_replid (INFO)')
end
local mine = bound == run .. history
if string.sub(bound, 1, 10) == 'replicated' then mine = ARGV[6] == 'replicated' and survived(bound, run, history) end
if not mine or redis.call('PTTL', KEYS[1]) <= tonumber(ARGV[5]) then
  return {'expired', grant, claim or '', at or ''}
end

if claim then return {'repeated', grant, claim, at} end
redis.call('SET', KEYS[1],
  bound .. '|' .. redeemer .. '|' .. ARGV[2] .. ',' .. ARGV[3] .. ',' .. ARGV[4] .. '|' .. grant, 'KEEPTTL')
return {'granted', grant, ARGV[2], ARGV[4]}
