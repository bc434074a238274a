-- Put before the scripts that ask whose a lock is: an owner, or false. A value that is no string is another program's, so
-- nobody's here. Where the value may not be read nobody knows: that is an error, and not "gone".
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
