-- Tells whether the server would take locks, and takes none. Behind a first line of `#!lua`, which declares a script that
-- may write, the server refuses it where it would refuse a write: on a replica, out of memory, where it cannot save.
--
-- KEYS  [restart marker]
-- ARGV  [longest TTL]
-- Reply  OK | WAIT <ms>
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
return 'OK'
