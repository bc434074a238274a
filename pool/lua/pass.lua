-- Put before release and leave: passes the free lock on to the first waiter that listens. The lock
-- is reserved for it for a while, so that no other takes it; an inbox that ends in "." and a number
-- of ms is far away, and needs that long. The waiter is told "go". Unless quiet is set, the next
-- waiter is told "next", with how long to wait before it asks, in case the first has died. Without
-- a waiter the lock is deleted. An entry of the releaser's own inbox is stale. A permission that
-- the user lacks may cost the waiters a notice, but the lock is released.
local function pass(lock, queue, reserve, own, quiet)
  while true do
    local first = redis.pcall('ZPOPMIN', queue)[1]
    if not first then -- no waiter, or the key has another type
      if redis.pcall('DEL', lock) ~= 1 then -- drop costs more, and does without DEL
        drop(lock, 'R:')
      end
      return
    end
    local heard = first == own and 0 or redis.pcall('PUBLISH', first, 'go ' .. lock)
    if type(heard) ~= 'number' then -- no permission to publish: no waiter can be notified
      drop(lock, 'R:')
      return
    end
    if heard > 0 then
      reserve = math.max(reserve, string.match(first, '%.(%d+)$') or 0)
      if redis.pcall('SET', lock, 'R:' .. first, 'PX', reserve).err then
        drop(lock, 'R:')
        return
      end
      local second = not quiet and redis.pcall('ZRANGE', queue, 0, 0)[1]
      if second then
        redis.pcall('PUBLISH', second, 'next ' .. reserve .. ' ' .. lock)
      end
      return
    end
  end
end
