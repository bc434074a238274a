-- Gives up the slots of a semaphore that are the owner's. Each slot is a lock.
--
-- KEYS   the slots  last: queue of waiters
-- ARGV   1 owner  2 reservation for the first waiter (ms)
--        [3 inbox of the releaser  [4 as the last of release]]
-- Reply  OK | GONE (none is the owner's)
local done, owners = 'GONE', owners_of(#KEYS - 1)
for i = 1, #KEYS - 1 do
  if owners[i] == ARGV[1] then
    done = release(KEYS[i], KEYS[#KEYS], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
  end
end
return done
