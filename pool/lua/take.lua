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

local function acquire(lock, fence, owner, hint, ttl, retention, floor, queue, inbox, ticket, age)
  -- A request that comes twice finds its own owner, and is not refused. The reply to the second,
  -- AGAIN, is not a second vote if it was sent to another address of the same server.
  local was = redis.call('SET', lock, owner, 'NX', 'GET', 'PX', ttl)
  if queue then
    if was == 'R:' .. inbox then
      redis.call('SET', lock, owner, 'PX', ttl)
      was = false
    end
    if not was or was == owner then
      redis.pcall('ZREM', queue, inbox)
    end
  end
  if was and was ~= owner then
    return refused(lock, was, queue, inbox, ticket, age)
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

