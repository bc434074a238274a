-- Put before the scripts that delete. If DEL is not allowed, it sets the key for a millisecond: SET
-- is allowed, because it has put the key in place.
local function drop(key, value)
  if type(redis.pcall('DEL', key)) ~= 'number' then
    redis.call('SET', key, value, 'PX', 1)
  end
end
