-- Put before the scripts that look at all slots of a semaphore: whose the first so many keys are; false where nobody's. Where MGET is
-- not allowed, GET is, which takes longer.
local function owners_of(count)
  local owners = redis.pcall('MGET', unpack(KEYS, 1, count))
  if owners.err then
    for i = 1, count do
      owners[i] = redis.call('GET', KEYS[i])
    end
  end
  return owners
end
