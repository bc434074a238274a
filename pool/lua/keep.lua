-- Put before extend and rejoin: keeps the fencing register for another retention, and makes it at
-- least the owner's token. A missing register may have been above the token before it was lost, so
-- it begins at this node's own clock, as in acquire.
local function keep(fence, token, retention)
  local f = redis.pcall('GET', fence)
  if type(f) == 'table' and string.sub(f.err, 1, 9) ~= 'WRONGTYPE' then
    error(f)
  end
  if f and (type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') or tonumber(f) >= 9007194959773696) then
    return -- not a register of this library: acquire reports it
  end
  if f and tonumber(f) >= tonumber(token) then
    redis.call('PEXPIRE', fence, retention)
  elseif f then
    redis.call('SET', fence, token, 'PX', retention)
  else
    local t = redis.pcall('TIME')
    if t.err then
      return -- it stays missing: acquire gives no token without the clock
    end
    local now = t[1] * 1000000 + t[2]
    redis.call('SET', fence, string.format('%.0f', math.max(now, tonumber(token))), 'PX', retention)
  end
end
