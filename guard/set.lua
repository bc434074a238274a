-- Registers a fencing token in a hash and, if there is a value, stores that with it.
--
-- KEYS  1 hash {token, value}
-- ARGV  1 token  [2 value]
-- Reply  1 | 0 (a greater token is registered)
local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if tonumber(ARGV[1]) < seen then
  return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[2] then
  redis.call('HSET', KEYS[1], 'value', ARGV[2])
end
return 1
