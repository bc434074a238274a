-- Put before the scripts that let a lock live on for a while as nobody's.

-- nobodys is another owner with the same label.
local function nobodys(owner)
  return string.sub(redis.sha1hex(owner), 1, 32) .. string.sub(owner, 33)
end

-- announce tells the first two waiters that listen "next", with the time until the lock ends (ms).
local function announce(lock, queue, life, reserve)
  local told = 0
  for _, inbox in ipairs(queue and redis.pcall('ZRANGE', queue, 0, 15) or {}) do
    local heard = redis.pcall('PUBLISH', inbox, 'next ' .. life + told * reserve .. ' ' .. lock)
    told = told + (heard ~= 0 and 1 or 0)
    if told == 2 then
      return
    end
  end
end

