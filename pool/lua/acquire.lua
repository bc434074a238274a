-- Takes the lock for its owner if it is free, and raises the fencing register F.
--
-- KEYS  1 lock  [fencing register]  [queue of waiters]  [restart marker]
-- ARGV  1 owner  2 ttl (ms)  3 hint (token)  4 retention (ms; 0: without fencing)
--       [5 inbox  6 ticket (us)  7 age (us): a refusal queues the inbox]  [last: longest TTL]
-- Reply  OK <token>                        the owner has the lock, and wrote the token (0: without fencing)
--        HELD <pttl> <fingerprint> <label> another has it; pttl -1: for ever, 0: it is reserved for a waiter; the label is the
--                                          rest, and may be empty
--        FOREIGN <pttl> <fingerprint>      another program's owner has it, who will not tell waiters when it is done
--        WAIT <ms>                         the node is kept out of new locks for that long
--        BADFENCE                          F holds what is no token; it is left there, and the lock is not taken
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end

-- A request that comes twice is one request: its owner is found, not refused.
local was = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET', 'PX', ARGV[2])
if #ARGV >= 7 then
  local queue, inbox = KEYS[ARGV[4] == '0' and 2 or 3], ARGV[5]
  if was == 'R:' .. inbox then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    was = false
  end
  if not was or was == ARGV[1] then
    redis.pcall('ZREM', queue, inbox)
  else
    -- In the order of the tickets, on which all nodes agree; but a clock that is wrong buys no better place than a second.
    local t = redis.call('TIME')
    local since, ticket = t[1] * 1000000 + t[2] - tonumber(ARGV[7]), tonumber(ARGV[6])
    if math.abs(ticket - since) <= 1000000 then
      since = ticket
    end
    redis.pcall('ZADD', queue, string.format('%.0f', since), inbox)
    redis.pcall('PEXPIRE', queue, 60000)
    if string.sub(was, 1, 2) == 'R:' and redis.pcall('ZRANGE', queue, 0, 0)[1] == inbox then
      -- It is the next in line, which nobody was when the lock was passed on.
      redis.pcall('PUBLISH', inbox, 'next ' .. math.max(redis.call('PTTL', KEYS[1]), 1) .. ' ' .. KEYS[1])
    end
  end
end
if was and was ~= ARGV[1] then
  local reserved = string.sub(was, 1, 2) == 'R:'
  -- An owner of ours is 32 digits, or those and a label of no great length; nil: it is another program's.
  local label = #was <= 1024 and string.match(was .. ':', '^' .. string.rep('%x', 32) .. ':(.*)$') or nil
  local pttl = reserved and 0 or redis.call('PTTL', KEYS[1])
  if pttl == 0 and not reserved then
    pttl = 1 -- less than a millisecond
  end
  local tail = pttl .. ' ' .. string.sub(redis.sha1hex(was), 1, 16)
  if not label and not reserved then
    return 'FOREIGN ' .. tail
  end
  return 'HELD ' .. tail .. ' ' .. string.sub(label or '', 1, -2)
end
if ARGV[4] == '0' then
  return 'OK 0'
end

local hint = ARGV[3]
local max = 9007194959773696 -- 2^53 - 2^32: numbers in Lua are exact up to 2^53
local old
if was then
  old = redis.pcall('GET', KEYS[2]) -- F is this owner's already, unless it has been lost
else
  old = redis.pcall('SET', KEYS[2], hint, 'GET', 'PX', ARGV[4]) -- right in most cases; if not, it is mended below
end
local f = 0
if old then
  f = type(old) == 'string' and #old <= 16 and string.find(old, '^%d+$') and tonumber(old) or max
  if f >= max then
    if type(old) == 'string' and not was then
      redis.call('SET', KEYS[2], old) -- its expiry is gone: better kept too long than lost
    end
    redis.call('DEL', KEYS[1])
    return 'BADFENCE'
  end
  if was then
    return 'OK ' .. old
  end
end

local token, idle = tonumber(hint), 2000 * tonumber(ARGV[4])
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
  redis.call('SET', KEYS[2], text, 'PX', ARGV[4])
end
return 'OK ' .. text
