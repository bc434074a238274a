-- Put before release and vacate: gives up one lock if it is its owner's. It deletes the lock, keeps
-- it in place for a minimum hold, or passes it on to a waiter.
--
-- A lock that is kept in place no longer belongs to its owner: its value changes, so that requests
-- of the owner that are still on their way, such as an extend, do not find it. The first two
-- waiters that listen are told "next", with the time until the lock ends.
--
-- Reply  OK | GONE (the lock is not the owner's)

local function release(lock, queue, owner, reserve, own, how)
  if redis.pcall('GET', lock) ~= owner then -- in few cases; owner_of tells more
    local was = owner_of(lock)
    if queue and own and own ~= '' and was == 'R:' .. own then -- reserved for the releaser
      pass(lock, queue, reserve, own, how)
    end
    return 'GONE'
  end
  if how and how ~= 'quiet' then
    redis.call('SET', lock, nobodys(owner), 'PX', how)
    announce(lock, queue, how, reserve)
  elseif queue then
    pass(lock, queue, reserve, own, how)
  else
    drop(lock, owner)
  end
  return 'OK'
end

