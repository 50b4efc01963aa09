-- Keeps a link of an account (after record.lua): one atomic step.
--
-- KEYS  1 account
-- ARGV  1 app   2 digest of the link token (20 bytes)   3 created (4 bytes)
--       4 subscriber   5 "1" to replace a link that is there
-- Returns {"ok"}, {"exists"} or {"subscriber"}.
if fields['/subscriber'] and fields['/subscriber'] ~= ARGV[4] then return {'subscriber'} end
local link = read(ARGV[1])
if link.digest == ARGV[2] then return {'ok'} end -- the same call sent twice
local there = fields[ARGV[1]] or #tokens(link) > 0
if there and ARGV[5] ~= '1' then return {'exists'} end
set('/subscriber', ARGV[4])
confirm(ARGV[1], link, ARGV[2], ARGV[3], UNKNOWN)
finish(false)
return {'ok'}
