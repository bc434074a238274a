-- Deletes the lock if it is its owner's, or leaves it to live for a while.
--
-- KEYS  1 lock
-- ARGV  1 owner  2 remaining life (ms; 0: delete)
-- Reply  OK | GONE (the lock is not the owner's)
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 'GONE'
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 'OK'
