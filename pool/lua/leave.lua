-- Takes an inbox out of the queue of waiters, and passes on a lock that is reserved for it. It no
-- longer keeps readers out of a shared lock, if it does.
--
-- KEYS   1 lock, or each slot of a semaphore  last: queue of waiters
-- ARGV   1 inbox  2 reservation for the first waiter (ms)
--        3 ticket: the inbox leaves the place with this ticket, not a later one; 0: it has none
-- Reply  OK
local denied, queue = nil, KEYS[#KEYS]
if ARGV[3] ~= '0' then
  local there = redis.pcall('ZRANGE', queue, ARGV[3], ARGV[3], 'BYSCORE')
  for _, inbox in ipairs(there) do
    if inbox == ARGV[1] then
      there = redis.pcall('ZREM', queue, inbox)
      break
    end
  end
  denied = type(there) == 'table' and there.err and there
end
for i = 1, #KEYS - 1 do
  local was = owner_of(KEYS[i])
  local closed, _, by = shared(was)
  if was == 'R:' .. ARGV[1] then
    pass(KEYS[i], queue, ARGV[2], ARGV[1], true)
  elseif #KEYS == 2 and closed and not of_readers(ARGV[1]) then
    if ARGV[3] == '0' then -- it was told that readers have the lock
      redis.pcall('ZREM', queue, ARGV[1])
    end
    if ARGV[3] == '0' or ARGV[3] == by then -- it may keep further readers out
      redis.pcall('SET', KEYS[i], 'S:redlock:', 'KEEPTTL')
    end
    admit(KEYS[i], queue)
  end
end
if denied then
  error(denied)
end
return 'OK'
