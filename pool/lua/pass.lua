-- Put before release and leave: passes the free lock on to the first waiter that listens. The lock
-- is reserved for it for a while, so that nobody barges in; an inbox that ends in "." and a number
-- of ms is far away, and needs that long. It is told "go". Unless quiet is set the one behind it is
-- told "next", with how long to wait before it is worth a look, should the first have died
-- meanwhile. Without a waiter the lock is deleted. What is left in the queue of the inbox that
-- passes the lock on is stale. What the user may not do costs the waiters a notice, not the lock
-- its release.
local function pass(lock, queue, reserve, own, quiet)
  while true do
    local first = redis.pcall('ZPOPMIN', queue)[1]
    if not first then -- nobody, or the key is something else
      drop(lock, 'R:')
      return
    end
    local heard = first == own and 0 or redis.pcall('PUBLISH', first, 'go ' .. lock)
    if type(heard) ~= 'number' then -- no permission to publish: nobody here can be told anything
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
