-- Takes locks, each for its owner if it is free, and raises their fencing registers F.
--
-- KEYS  1 lock  [fencing register]  [queue of waiters]; or lock and register of each of several; last: [restart marker]
-- ARGV  owner and hint (token) of each lock; then ttl (ms)  retention (ms; 0: without fencing)
--       [inbox  ticket (us)  age (us): a refusal queues the inbox]  [last: longest TTL]
-- Reply  OK <token>                        the owner has the lock, and wrote the token (0: without fencing)
--        HELD <pttl> <fingerprint> <label> another has it; pttl -1: for ever, 0: it is reserved for a waiter; the label is the
--                                          rest, and may be empty
--        FOREIGN <pttl> <fingerprint>      another program's owner has it, who will not tell waiters when it is done
--        WAIT <ms>                         the node is kept out of new locks for that long
--        BADFENCE                          F holds what is no token; it is left there, and the lock is not taken
--        and for several locks a line for each: one of these, or "-" and an error
local function acquire(lock, fence, owner, hint, ttl, retention, floor, queue, inbox, ticket, age)
  -- A request that comes twice is one request: its owner is found, not refused.
  local was = redis.call('SET', lock, owner, 'NX', 'GET', 'PX', ttl)
  if queue then
    if was == 'R:' .. inbox then
      redis.call('SET', lock, owner, 'PX', ttl)
      was = false
    end
    if not was or was == owner then
      redis.pcall('ZREM', queue, inbox)
    else
      -- In the order of the tickets, on which all nodes agree; but a clock that is wrong buys no better place than a second.
      local t = redis.call('TIME')
      local since, wanted = t[1] * 1000000 + t[2] - tonumber(age), tonumber(ticket)
      if math.abs(wanted - since) <= 1000000 then
        since = wanted
      end
      redis.pcall('ZADD', queue, string.format('%.0f', since), inbox)
      redis.pcall('PEXPIRE', queue, 60000)
      if string.sub(was, 1, 2) == 'R:' and redis.pcall('ZRANGE', queue, 0, 0)[1] == inbox then
        -- It is the next in line, which nobody was when the lock was passed on.
        redis.pcall('PUBLISH', inbox, 'next ' .. math.max(redis.call('PTTL', lock), 1) .. ' ' .. lock)
      end
    end
  end
  if was and was ~= owner then
    local reserved = string.sub(was, 1, 2) == 'R:'
    -- An owner of ours is 32 digits, or those and a label of no great length; nil: it is another program's.
    local label = #was <= 1024 and string.match(was .. ':', '^' .. string.rep('%x', 32) .. ':(.*)$') or nil
    local pttl = reserved and 0 or redis.call('PTTL', lock)
    if pttl == 0 and not reserved then
      pttl = 1 -- less than a millisecond
    end
    local tail = pttl .. ' ' .. string.sub(redis.sha1hex(was), 1, 16)
    if not label and not reserved then
      return 'FOREIGN ' .. tail
    end
    label = string.gsub(string.sub(label or '', 1, -2), '\n', ' ') -- a line for each
    return 'HELD ' .. tail .. ' ' .. label
  end
  if not fence then
    return 'OK 0'
  end

  local max = 9007194959773696 -- 2^53 - 2^32: numbers in Lua are exact up to 2^53
  local old
  if was then
    old = redis.pcall('GET', fence) -- F is this owner's already, unless it has been lost
  else
    old = redis.pcall('SET', fence, hint, 'GET', 'PX', retention) -- right in most cases; if not, it is mended below
  end
  local f = 0
  if old then
    f = type(old) == 'string' and #old <= 16 and string.find(old, '^%d+$') and tonumber(old) or max
    if f >= max then
      if type(old) == 'string' and not was then
        redis.call('SET', fence, old) -- its expiry is gone: better kept too long than lost
      end
      redis.call('DEL', lock)
      return 'BADFENCE'
    end
    if was then
      return 'OK ' .. old
    end
  end

  local token, idle = tonumber(hint), 2000 * tonumber(retention)
  if old and token > f and token > floor and token - f <= idle then
    return 'OK ' .. hint -- which F holds by now
  end
  if not old or token - f > idle then
    -- F is missing, or idle for so long that it might as well be: the hint is trusted near this node's own clock only.
    local t = redis.call('TIME')
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
  return 'OK ' .. text
end

local keys = #KEYS - marked
if wait > 0 then
  local reply = 'WAIT ' .. string.format('%.0f', wait)
  return reply .. string.rep('\n' .. reply, math.floor(keys / 2) - 1)
end
if keys < 4 then -- one lock
  local fence = ARGV[4] ~= '0' and KEYS[2] or nil
  local queue = keys == (fence and 3 or 2) and KEYS[keys] or nil
  return acquire(KEYS[1], fence, ARGV[1], ARGV[2], ARGV[3], ARGV[4], floor, queue, ARGV[5], ARGV[6], ARGV[7])
end
local replies, ttl, retention = {}, ARGV[keys + 1], ARGV[keys + 2]
for i = 1, keys, 2 do
  local done, reply = pcall(acquire, KEYS[i], KEYS[i + 1], ARGV[i], ARGV[i + 1], ttl, retention, floor)
  replies[(i + 1) / 2] = done and reply or '-' .. string.gsub(reply.err or reply, '\n', ' ') -- a line for each
end
return table.concat(replies, '\n')
