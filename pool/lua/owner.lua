-- Put before the scripts that look for the owner of a lock: an owner, or false. A value that is not
-- a string is another program's, so the lock has no owner here. If the value may not be read, the
-- owner is unknown: that is an error, and not "gone".
local function owner_of(lock)
  local owner = redis.pcall('GET', lock)
  if type(owner) ~= 'table' then
    return owner
  end
  if string.sub(owner.err, 1, 9) ~= 'WRONGTYPE' then
    error(owner)
  end
  return false
end
