-- Gives the lock a full TTL again, and takes it for its owner if the node has lost it.
--
-- KEYS   1 lock  [2 fencing register]  [last: restart marker]
-- ARGV   1 owner  2 token  3 ttl (ms)  4 retention (ms; 0: without fencing)  [last: longest TTL]
-- Reply  OK | HELD <pttl> <fingerprint> <label> | WAIT <ms>
if wait > 0 and owner_of(KEYS[1]) ~= ARGV[1] then
  return 'WAIT ' .. string.format('%.0f', wait)
end
local was = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET', 'PX', ARGV[3])
if was and was ~= ARGV[1] then
  local pttl = redis.pcall('PTTL', KEYS[1])
  return 'HELD ' .. (tonumber(pttl) or -1) .. ' ' .. describe(KEYS[1], was)
end
if was then
  redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
end
if ARGV[4] ~= '0' then
  keep(KEYS[2], ARGV[2], ARGV[4])
end
return 'OK'
