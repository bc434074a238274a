-- Takes an inbox out of the queue of waiters, and passes on a lock that is reserved for it.
--
-- KEYS  1 lock  2 queue of waiters
-- ARGV  1 inbox  2 reservation for the first waiter (ms)
--       3 ticket: the inbox leaves the place that has it, and no later one; 0: it has no place
-- Reply  OK
local denied
if ARGV[3] ~= '0' then
  local there = redis.pcall('ZRANGE', KEYS[2], ARGV[3], ARGV[3], 'BYSCORE')
  for _, inbox in ipairs(there) do
    if inbox == ARGV[1] then
      there = redis.pcall('ZREM', KEYS[2], inbox)
      break
    end
  end
  denied = type(there) == 'table' and there.err and there
end
if owner_of(KEYS[1]) == 'R:' .. ARGV[1] then
  pass(KEYS[1], KEYS[2], ARGV[2], ARGV[1], true)
end
if denied then
  error(denied)
end
return 'OK'
