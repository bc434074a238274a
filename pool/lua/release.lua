-- Gives up locks, each if it is its owner's: deletes it, or leaves it to live for a while, or passes it on to a waiter.
--
-- KEYS  1 lock  [2 queue of waiters]; or lock and queue of each of several
-- ARGV  the owner of each lock; then reservation for the first waiter (ms)  [inbox of the releaser, if it has one
--       [remaining life (ms), of one lock]]
-- Reply  OK | GONE (the lock is not the owner's); for several locks a line for each: one of these, or "-" and an error
local function release(lock, queue, owner, reserve, own, life)
  local was = owner_of(lock)
  if was ~= owner then
    if queue and own and was == 'R:' .. own then -- reserved for us, who have had our turn on the other nodes
      pass(lock, queue, reserve, own)
    end
    return 'GONE'
  end
  if life then
    redis.call('SET', lock, owner, 'PX', life)
  elseif queue then
    pass(lock, queue, reserve, own)
  else
    drop(lock, owner)
  end
  return 'OK'
end

local keys = #KEYS
if keys < 3 then -- one lock
  return release(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
end
local replies, count = {}, keys / 2
for i = 1, count do
  local done, reply = pcall(release, KEYS[2 * i - 1], KEYS[2 * i], ARGV[i], ARGV[count + 1], ARGV[count + 2])
  replies[i] = done and reply or '-' .. string.gsub(reply.err or reply, '\n', ' ') -- a line for each
end
return table.concat(replies, '\n')
