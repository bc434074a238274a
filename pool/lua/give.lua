-- Put before release and vacate: gives up one lock if it is its owner's. It deletes the lock, keeps
-- it in place for a minimum hold, or passes it on to a waiter.
--
-- A lock that is kept in place no longer belongs to its owner: its value changes, so that requests
-- of the owner that are still on their way, such as an extend, do not find it. The first two
-- waiters that listen are told "next", with the time until the lock ends.
--
-- Reply  OK | GONE (the lock is not the owner's)
-- disown gives the lock another value with the same label.
local function disown(lock, queue, owner, life, reserve)
  redis.call('SET', lock, string.sub(redis.sha1hex(owner), 1, 32) .. string.sub(owner, 33), 'PX', life)
  local told = 0
  for _, inbox in ipairs(queue and redis.pcall('ZRANGE', queue, 0, 15) or {}) do
    local heard = redis.pcall('PUBLISH', inbox, 'next ' .. life + told * reserve .. ' ' .. lock)
    told = told + (heard ~= 0 and 1 or 0)
    if told == 2 then
      return
    end
  end
end

local function release(lock, queue, owner, reserve, own, how)
  local was = owner_of(lock)
  if was ~= owner then
    if queue and own and was == 'R:' .. own then -- reserved for the releaser
      pass(lock, queue, reserve, own, how)
    end
    return 'GONE'
  end
  if how and how ~= 'quiet' then
    disown(lock, queue, owner, how, reserve)
  elseif queue then
    pass(lock, queue, reserve, own, how)
  else
    drop(lock, owner)
  end
  return 'OK'
end

