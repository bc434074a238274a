-- Gives up the lock if it is its owner's: deletes it, or leaves it to live for a while, or passes it on to a waiter.
--
-- KEYS  1 lock  [2 queue of waiters]
-- ARGV  1 owner  2 reservation for the first waiter (ms)  [3 inbox of the releaser, if it has one  [4 remaining life (ms)]]
-- Reply  OK | GONE (the lock is not the owner's)
local was = redis.pcall('GET', KEYS[1])
if was ~= ARGV[1] then
  if KEYS[2] and ARGV[3] and was == 'R:' .. ARGV[3] then -- reserved for us, who have had our turn on the other nodes
    pass(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
  end
  return 'GONE'
end
if ARGV[4] then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
elseif KEYS[2] then
  pass(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return 'OK'
