-- Put before the scripts that delete. Where DEL is not allowed, SET is, which has put the key in place: it leaves it a millisecond.
local function drop(key, value)
  if type(redis.pcall('DEL', key)) ~= 'number' then
    redis.call('SET', key, value, 'PX', 1)
  end
end
