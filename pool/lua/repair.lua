-- Raises the fencing register to a token, if the lock is still its owner's.
--
-- KEYS   1 lock  2 fencing register  [last: restart marker]
-- ARGV   1 owner  2 token  3 retention (ms)  [last: longest TTL]
-- Reply  OK | GONE (the lock is not the owner's) | WAIT <ms> | BADFENCE
--        RAISED  F is above the token, or may have been: it was lost after the lock was granted
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
if owner_of(KEYS[1]) ~= ARGV[1] then
  return 'GONE'
end
local f = redis.pcall('GET', KEYS[2])
if not f then
  return 'RAISED' -- only acquire, extend and rejoin begin a register, at this node's clock
end
if type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') or tonumber(f) >= 9007194959773696 then
  return 'BADFENCE'
end
if tonumber(f) > tonumber(ARGV[2]) then
  return 'RAISED'
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 'OK'
