-- Takes an inbox out of the queue of waiters, and passes on a lock that is reserved for it.
--
-- KEYS  1 lock  2 queue of waiters
-- ARGV  1 inbox  2 reservation for the first waiter (ms)
-- Reply  OK
local left = redis.pcall('ZREM', KEYS[2], ARGV[1])
if owner_of(KEYS[1]) == 'R:' .. ARGV[1] then
  pass(KEYS[1], KEYS[2], ARGV[2], ARGV[1])
end
if type(left) ~= 'number' then
  error(left)
end
return 'OK'
