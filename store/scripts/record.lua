-- The record of an account: the first part of every script that changes one. It
-- reads all of it, the changes are made here, and finish writes what is different:
-- a script that fails has changed nothing.
--
-- KEYS  1 account
--
-- App field: digest of the confirmed link token (its first 20 bytes, which is all that
-- comes here; zeros: none), created (4), generation (2), written (5), then the first 4
-- bytes of the digests of 0 to 3 superseded tokens, the newest first, and then 4 zeros
-- (MORE) while others, which are not remembered, may stand on the server. Slots, APP/1
-- to APP/3: digest (20), created (4), written (5) of a prepared token. Numbers are
-- big-endian. A damaged field counts as missing: whoever writes the link next makes it
-- whole again.
local NONE = string.rep('\0', 20)
local UNKNOWN = string.rep('\0', 5)
local MORE = string.rep('\0', 4)
local SLOTS, REMEMBERED = 3, 3

local fields, changed = {}, {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end

-- set changes a field; no value removes it.
local function set(name, value)
  if fields[name] ~= value then
    fields[name] = value
    changed[name] = true
  end
end

local function number(text)
  local n = 0
  for i = 1, #text do n = n * 256 + string.byte(text, i) end
  return n
end

local function read(app)
  local link = {digest = NONE, created = '\0\0\0\0', generation = 0, written = UNKNOWN, superseded = '', more = false, slots = {}}
  local text = fields[app]
  if text and #text >= 31 then
    link.digest, link.created = string.sub(text, 1, 20), string.sub(text, 21, 24)
    link.generation, link.written = number(string.sub(text, 25, 26)), string.sub(text, 27, 31)
    link.superseded = string.sub(text, 32)
    link.more = string.sub(link.superseded, -4) == MORE
    if link.more then link.superseded = string.sub(link.superseded, 1, -5) end
  end
  for n = 1, SLOTS do
    text = fields[app .. '/' .. n]
    if text and #text == 29 then
      link.slots[n] = {digest = string.sub(text, 1, 20), created = string.sub(text, 21, 24), written = string.sub(text, 25)}
    end
  end
  return link
end

local function write(app, link)
  set(app, link.digest .. link.created .. string.char(math.floor(link.generation / 256), link.generation % 256)
    .. link.written .. link.superseded .. (link.more and MORE or ''))
end

local function empty_slots(app)
  for n = 1, SLOTS do set(app .. '/' .. n, nil) end
end

-- supersede remembers tokens, the newest first, before those remembered already, and
-- reports whether one was left out. Those that may stand on the server (link.more)
-- count until a write is finished with no other one in flight.
local function supersede(link, digests)
  local text, seen, left_out = '', {[MORE] = true}, false
  local function add(head)
    if #head < 4 or seen[head] then return end
    if #text == 4 * REMEMBERED then
      left_out = true
    else
      text, seen[head] = text .. head, true
    end
  end
  for _, digest in ipairs(digests) do add(string.sub(digest, 1, 4)) end
  for at = 1, #link.superseded, 4 do add(string.sub(link.superseded, at, at + 3)) end
  link.superseded = text
  return left_out
end

-- is_superseded reports whether a token is remembered as superseded.
local function is_superseded(link, token)
  for at = 1, #link.superseded, 4 do
    if string.sub(link.superseded, at, at + 3) == string.sub(token, 1, 4) then return true end
  end
  return false
end

-- tokens returns the digests of the confirmed token and of the prepared ones, the
-- newest of those first, but for one, and whether there are prepared ones.
local function tokens(link, except)
  local prepared = {}
  for n = 1, SLOTS do
    if link.slots[n] then prepared[#prepared + 1] = link.slots[n] end
  end
  table.sort(prepared, function(a, b) return number(a.created) > number(b.created) end)
  local digests = {}
  if link.digest ~= NONE then digests[1] = link.digest end
  for _, slot in ipairs(prepared) do
    if slot.digest ~= except then digests[#digests + 1] = slot.digest end
  end
  return digests, #digests > (link.digest ~= NONE and 1 or 0)
end

-- confirm makes a token the confirmed one and supersedes all others of the link.
local function confirm(app, link, token, created, written)
  local digests, unfinished = tokens(link, token)
  supersede(link, digests)
  link.more = unfinished and (link.more or #digests > REMEMBERED)
  link.digest, link.created, link.written = token, created, written
  link.generation = math.min(link.generation + 1, 65535)
  write(app, link)
  empty_slots(app)
end

-- revoke supersedes every token of a link. No write has ended by that: whatever may
-- stand on the server may do so still.
local function revoke(app)
  local link = read(app)
  local left_out = supersede(link, (tokens(link)))
  link.more = link.more or left_out
  link.digest, link.written = NONE, UNKNOWN
  write(app, link)
  empty_slots(app)
end

local function apps()
  local names, list = {}, {}
  for name in pairs(fields) do
    local app = string.match(name, '^([^/]+)')
    if string.sub(name, 1, 1) ~= '/' and not names[app] then
      names[app], list[#list + 1] = true, app
    end
  end
  return list
end

-- forget removes a link and reports whether it was there.
local function forget(app)
  local found = fields[app] ~= nil
  for n = 1, SLOTS do found = found or fields[app .. '/' .. n] ~= nil end
  set(app, nil)
  empty_slots(app)
  return found
end

-- finish writes the changes. With last, the account goes when neither a link nor a
-- group is left.
local function finish(last)
  if last and #apps() == 0 and not fields['/group'] then
    for _, name in ipairs({'/subscriber', '/fence'}) do set(name, nil) end
  end
  local fence_alone = true
  for name in pairs(fields) do fence_alone = fence_alone and name == '/fence' end
  if fence_alone then set('/fence', nil) end
  for name in pairs(changed) do
    if fields[name] then
      redis.call('HSET', KEYS[1], name, fields[name])
    else
      redis.call('HDEL', KEYS[1], name)
    end
  end
end

