-- Put before release and vacate: gives up one lock if it is its owner's: deletes it, or leaves it to live for a while, or passes it on
-- to a waiter.
--
-- A lock that is left to live is its owner's no more: its value is another, so that nothing of the owner's that is still on its
-- way, such as an extend, finds the lock. The first two waiters that listen are told "next", with how long it lives.
--
-- Reply  OK | GONE (the lock is not the owner's)
local function disown(lock, queue, owner, life, reserve)
  redis.call('SET', lock, string.sub(redis.sha1hex(owner), 1, 32) .. string.sub(owner, 33), 'PX', life) -- the label stays
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
    if queue and own and was == 'R:' .. own then -- reserved for us, who have had our turn on the other nodes
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

