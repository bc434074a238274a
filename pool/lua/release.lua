-- Gives up the lock if it is its owner's: deletes it, or leaves it to live for a while, or passes it on to a waiter.
--
-- KEYS  1 lock  [2 queue of waiters]
-- ARGV  1 owner  2 remaining life (ms; 0: none)  3 reservation for the first waiter (ms)
-- Reply  OK | GONE (the lock is not the owner's)
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 'GONE'
end
if ARGV[2] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif KEYS[2] then
  pass(KEYS[1], KEYS[2], ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return 'OK'
