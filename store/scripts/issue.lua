-- Checks a link token and keeps a one-time token: one atomic step.
--
-- KEYS  1 account   2 one-time token (same slot)
-- ARGV  1 app   2 digest of the link token (20 bytes)   3 subscriber
--       4 link tokens made before this are refused (unix seconds)
--       5 how long to keep the record in ms (0 = only check)
--       6 redeemer   7 grant   8 "local" or "replicated"
-- Returns {"ok", created} or {cause}. record.lua says how a link is stored.
local app, token = ARGV[1], ARGV[2]
local stored = redis.call('HMGET', KEYS[1], '/subscriber', app, app .. '/1', app .. '/2', app .. '/3')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if not run or not history then
  return redis.error_reply('LATCHKEY this Redis does not tell its run_id and master_replid (INFO)')
end

-- Every token is compared, whichever it is.
local known, match = false, false
for i = 2, 5 do
  known = known or stored[i]
  if stored[i] and string.sub(stored[i], 1, 20) == token then match = stored[i] end
end
local superseded = false
for at = 32, #(stored[2] or ''), 4 do
  local head = string.sub(stored[2], at, at + 3)
  if head == string.sub(token, 1, 4) or head == '\0\0\0\0' then superseded = true end
end
-- Zeros stand where there is no confirmed token.
if token == string.rep('\0', 20) then match = false end

if not known then return {'no_link'} end
if not match then return {superseded and 'superseded' or 'token'} end
if stored[1] ~= ARGV[3] then return {'subscriber'} end
local a, b, c, d = string.byte(match, 21, 24)
if not d then
  return redis.error_reply('LATCHKEY a link record is damaged')
end
local created = ((a * 256 + b) * 256 + c) * 256 + d
if created < tonumber(ARGV[4]) then return {'aged'} end

-- NX: the same call sent twice does not forget a redemption in between.
local keep = tonumber(ARGV[5])
if keep > 0 then
  local bound = run .. history
  if ARGV[8] == 'replicated' then bound = 'replicated' .. bound .. redis.call('TIME')[1] end
  redis.call('SET', KEYS[2], bound .. '|' .. ARGV[6] .. '||' .. ARGV[7], 'NX', 'PX', keep)
end
return {'ok', string.format('%.0f', created)}
