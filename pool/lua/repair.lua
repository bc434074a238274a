-- Raises the fencing register to a token, if the lock is still its owner's.
--
-- KEYS  1 lock  2 fencing register  [last: restart marker]
-- ARGV  1 owner  2 token  3 retention (ms)  [last: longest TTL]
-- Reply  OK | GONE (the lock is not the owner's) | RAISED (F is above the token) | WAIT <ms> | BADFENCE
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 'GONE'
end
local f = redis.pcall('GET', KEYS[2])
if f then
  if type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') or tonumber(f) >= 9007194959773696 then -- as in acquire
    return 'BADFENCE'
  end
  if tonumber(f) > tonumber(ARGV[2]) then
    return 'RAISED'
  end
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 'OK'
