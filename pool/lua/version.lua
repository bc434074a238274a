-- Put before share: a reader's token by this node's fencing register F, or nil if F does not hold a
-- token. A missing F begins at the hint if that is near this node's own clock, otherwise at
-- the clock. The token is above the floor.
local function version(fence, hint, floor)
  local f = redis.pcall('GET', fence)
  if type(f) == 'table' and string.sub(f.err, 1, 9) ~= 'WRONGTYPE' then
    error(f)
  end
  if f and (type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') or tonumber(f) >= 9007194959773696) then
    return nil
  end
  local token = tonumber(f or hint)
  if not f then
    local t = redis.call('TIME')
    local now = t[1] * 1000000 + t[2]
    if token < now - 1000000 then
      token = now
    elseif token > now + 60000000 then
      token = now + 60000000
    end
  end
  return string.format('%.0f', math.max(token, floor + 1))
end

