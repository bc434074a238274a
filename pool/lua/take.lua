-- Put before acquire and permit: takes one lock for its owner if it is free, and raises its fencing
-- register F.
--
-- Reply  OK <token>                        the owner has the lock, and wrote the token (0: none)
--        AGAIN <token>                     the same, but the owner had the lock before
--        HELD <pttl> <fingerprint> <label> another owner has it; pttl -1: without end, or unknown;
--                                          0: it is reserved for a waiter; the label may be empty
--        FOREIGN <pttl> <fingerprint>      another owner has it, and its release will not notify
--                                          the inbox: it is another program's, or the inbox could
--                                          not be queued
--        BADFENCE                          F does not hold a token; it is left unchanged, and the
--                                          lock is not taken
--
-- An error changes nothing but the expiry of a lock that was the owner's before: what was written
-- is taken back.

-- life is how long another owner's lock will last, in ms, rounded up; -1: without end, or unknown.
local function life(lock)
  local pttl = redis.pcall('PTTL', lock)
  return type(pttl) ~= 'number' and -1 or pttl == 0 and 1 or pttl
end

-- enqueue puts the inbox into the queue, and reports whether it is there. The order is that of the
-- tickets, which is the same on all nodes. If this node's clock may be read, a ticket of a clock
-- that is wrong by more than a second is replaced by the node's own time.
local function enqueue(queue, inbox, ticket, age)
  local since, t = tonumber(ticket), redis.pcall('TIME')
  if not t.err then
    local seen = t[1] * 1000000 + t[2] - tonumber(age)
    if math.abs(since - seen) > 1000000 then
      since = seen
    end
  end
  if type(redis.pcall('ZADD', queue, string.format('%.0f', since), inbox)) ~= 'number' then
    return false
  end
  if redis.pcall('PEXPIRE', queue, 60000) == 1 then
    return true
  end
  redis.pcall('ZREM', queue, inbox) -- a queue without expiry must not stay
  return false
end

local function acquire(lock, fence, owner, hint, ttl, retention, floor, queue, inbox, ticket, age)
  -- A request that comes twice finds its own owner, and is not refused. The reply to the second,
  -- AGAIN, is not a second vote if it was sent to another address of the same server.
  local was = redis.call('SET', lock, owner, 'NX', 'GET', 'PX', ttl)
  local deaf = false
  if queue then
    if was == 'R:' .. inbox then
      redis.call('SET', lock, owner, 'PX', ttl)
      was = false
    end
    if not was or was == owner then
      redis.pcall('ZREM', queue, inbox)
    else
      deaf = not enqueue(queue, inbox, ticket, age)
      if not deaf and string.sub(was, 1, 2) == 'R:' and redis.pcall('ZRANGE', queue, 0, 0)[1] == inbox then
        -- It is the next in the queue, which was empty when the lock was passed on.
        redis.pcall('PUBLISH', inbox, 'next ' .. math.max(life(lock), 1) .. ' ' .. lock)
      end
    end
  end
  if was and was ~= owner then
    local reserved = string.sub(was, 1, 2) == 'R:'
    -- An owner of this library is 32 digits, perhaps with a label of limited length; nil: it is
    -- another program's.
    local label = #was <= 1024 and string.match(was .. ':', '^' .. string.rep('%x', 32) .. ':(.*)$') or nil
    local tail = ' ' .. string.sub(redis.sha1hex(was), 1, 16)
    if deaf or not label and not reserved then
      return 'FOREIGN ' .. life(lock) .. tail
    end
    label = string.gsub(string.sub(label or '', 1, -2), '\n', ' ') -- one line for each
    return 'HELD ' .. (reserved and 0 or life(lock)) .. tail .. ' ' .. label
  end
  local done = was and 'AGAIN ' or 'OK '
  if not fence then
    return done .. '0'
  end

  local max = 9007194959773696 -- 2^53 - 2^32: numbers in Lua are exact up to 2^53
  local old
  if was then
    old = redis.pcall('GET', fence) -- F is this owner's already, unless it was lost
  else
    old = redis.pcall('SET', fence, hint, 'GET', 'PX', retention) -- corrected below
  end
  local f = 0
  if old then
    f = type(old) == 'string' and #old <= 16 and string.find(old, '^%d+$') and tonumber(old) or max
    if f >= max then
      local unknown = type(old) == 'table' and string.sub(old.err, 1, 9) ~= 'WRONGTYPE'
      if type(old) == 'string' and not was then
        redis.call('SET', fence, old) -- without its expiry: better kept too long than lost
      end
      if not (unknown and was) then
        drop(lock, owner)
      end
      if unknown then
        error(old)
      end
      return 'BADFENCE'
    end
    if was then
      return done .. old
    end
  end

  local token, idle = tonumber(hint), 2000 * tonumber(retention)
  if old and token > f and token > floor and token - f <= idle then
    return 'OK ' .. hint -- which F holds now
  end
  if not old or token - f > idle then
    -- F is missing, or was idle for so long that it counts as missing: the hint is trusted only
    -- near this node's own clock.
    local t = redis.pcall('TIME')
    if t.err then -- then it is not trusted at all
      if old then
        redis.call('SET', fence, old, 'PX', retention)
      elseif not was then
        drop(fence, hint)
      end
      if not was then
        drop(lock, owner)
      end
      error(t)
    end
    local now = t[1] * 1000000 + t[2]
    if token < now - 1000000 then
      token = now
    elseif token > now + 60000000 then
      token = now + 60000000
    end
  end
  token = math.max(token, f + 1, floor + 1)
  local text = string.format('%.0f', token)
  if text ~= hint or was then
    redis.call('SET', fence, text, 'PX', retention)
  end
  return done .. text
end

