-- Gives the lock a full TTL again, if it is still its owner's. It never creates it.
--
-- KEYS  1 lock  [2 fencing register]
-- ARGV  1 owner  2 token  3 ttl (ms)  4 retention (ms; 0: without fencing)
-- Reply  OK | GONE (the lock is not the owner's)
if owner_of(KEYS[1]) ~= ARGV[1] then
  return 'GONE'
end
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
if ARGV[4] ~= '0' then
  keep(KEYS[2], ARGV[2], ARGV[4])
end
return 'OK'
