-- Tells whether the server would grant locks, and grants none. A first line of `#!lua` goes before
-- it, which declares a script that may write. So the server refuses it when it would refuse a
-- write: on a replica, out of memory, or when it cannot save.
--
-- KEYS   [restart marker]
-- ARGV   [longest TTL]
-- Reply  OK | WAIT <ms>
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
return 'OK'
