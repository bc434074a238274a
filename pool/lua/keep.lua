-- Put before extend and rejoin: keeps the fencing register for another retention, and at the owner's token at least.
local function keep(fence, token, retention)
  local f = redis.pcall('GET', fence)
  if f and (type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$')) then
    return -- not a register of ours: acquire tells of it
  end
  if f and tonumber(f) >= tonumber(token) then
    redis.call('PEXPIRE', fence, retention)
  else
    redis.call('SET', fence, token, 'PX', retention)
  end
end
