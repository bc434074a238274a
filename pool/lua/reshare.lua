-- Gives a reader's share a full TTL again, and lets the reader share the lock if the node has lost
-- that share. A waiter that keeps further readers out gains nothing from keeping this one out: it
-- has to wait for it on other nodes.
--
-- KEYS   1 lock  [2 fencing register]  readers  last: [restart marker]
-- ARGV   1 owner  2 token  3 ttl (ms)  4 retention (ms; 0: without fencing)  [last: longest TTL]
-- Reply  OK | HELD <pttl> <fingerprint> <label> | WAIT <ms>
local lock, readers, owner, now = KEYS[1], KEYS[#KEYS - marked], ARGV[1], clock()
local was = redis.call('GET', lock)
local ends = shared(was) and ends_of(readers, {owner}, now) or {}
if wait > 0 and not ends[owner] then
  return 'WAIT ' .. string.format('%.0f', wait)
end
if was and not shared(was) then
  local pttl = redis.pcall('PTTL', lock)
  return 'HELD ' .. (tonumber(pttl) or -1) .. ' ' .. describe(lock, was)
end
join(lock, readers, not was, {owner}, ends, ARGV[3], now)
if ARGV[4] ~= '0' then
  keep(KEYS[2], ARGV[2], ARGV[4])
end
return 'OK'
