-- Applies the changes of one account (after record.lua): one atomic step. The same
-- changes sent twice have the same effect.
--
-- KEYS  1 account
-- ARGV  1 fence, then for each change
--       kind, name (app, subscriber or group id), token (digest, 20 bytes), created (4 bytes),
--       written (5 bytes), for whom the token is (subscriber); what a kind does not need is empty
-- Returns {"ok"}, {"fenced"}, or {"lost"} when all was done but that tokens were not
-- taken: this Redis lost them, and does not say that the account is that subscriber's.
local function slot_of(link, token)
  for n = 1, SLOTS do
    if link.slots[n] and link.slots[n].digest == token then return n end
  end
end

local function free_slot(link)
  for n = 1, SLOTS do
    if not link.slots[n] then return n end
  end
end

local forgotten, lost = false, false
local kinds = {}

function kinds.subscriber(name)
  if fields['/subscriber'] and fields['/subscriber'] ~= name then
    for _, app in ipairs(apps()) do revoke(app) end
  end
  set('/subscriber', name)
  forgotten = false
end

function kinds.prepare(app, token, created, written)
  local link = read(app)
  if link.digest == token then return end
  local at = slot_of(link, token) or free_slot(link)
  if not at then
    at = 1
    for n = 2, SLOTS do
      if number(link.slots[n].created) < number(link.slots[at].created) then at = n end
    end
    supersede(link, {link.slots[at].digest})
    link.more = true
    write(app, link)
  end
  set(app .. '/' .. at, token .. created .. written)
end

-- A slot that a failover lost is no reason to refuse what stands on the server. But
-- only for the subscriber that the token was made for: nobody fences those who
-- register links by hand, nor what was done before the account was forgotten.
function kinds.promote(app, token, created, written, subscriber)
  local link = read(app)
  local at = slot_of(link, token)
  if at then
    confirm(app, link, token, link.slots[at].created, link.slots[at].written)
  elseif link.digest == token or is_superseded(link, token) then
    return
  elseif fields['/subscriber'] == subscriber then
    confirm(app, link, token, created, written)
  else
    lost = true
    if fields[app] then
      link.written = UNKNOWN -- whoever comes next writes the link anew
      write(app, link)
    end
  end
end

function kinds.drop(app, token)
  local at = slot_of(read(app), token)
  if at then set(app .. '/' .. at, nil) end
end

function kinds.forget(app)
  forget(app)
  forgotten = true
end

function kinds.group(id, _, _, written) set('/group', written .. id) end

function kinds.forget_group()
  set('/group', nil)
  forgotten = true
end

if tonumber(fields['/fence'] or 0) > tonumber(ARGV[1]) then return {'fenced'} end
set('/fence', ARGV[1])
for i = 2, #ARGV, 6 do
  kinds[ARGV[i]](ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end
finish(forgotten)
return {lost and 'lost' or 'ok'}
