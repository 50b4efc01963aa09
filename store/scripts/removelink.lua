-- Forgets a link (after record.lua), and its account with the last one when it has
-- no group either.
--
-- KEYS  1 account
-- ARGV  1 app
-- Returns 1 when the link was there.
local removed = forget(ARGV[1])
finish(removed)
return removed and 1 or 0
