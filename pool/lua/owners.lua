-- Put before the scripts that look at all slots of a semaphore: the owners of the first keys, false
-- for a key without one. If MGET is not allowed, it uses GET, which takes longer.
local function owners_of(count)
  local owners = redis.pcall('MGET', unpack(KEYS, 1, count))
  if owners.err then
    for i = 1, count do
      owners[i] = redis.call('GET', KEYS[i])
    end
  end
  return owners
end
