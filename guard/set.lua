-- Registers a fencing token in a hash and, if there is a value, stores that with it.
--
-- KEYS   1 hash {token, value}
-- ARGV   1 token  [2 value]
-- Reply  1 | 0 (a greater token is registered)
--        | an error if the field does not hold a token, because 'nan' would let every token in
local seen = redis.call('HGET', KEYS[1], 'token')
if seen and (#seen > 16 or not string.find(seen, '^%d+$')) then
  return redis.error_reply('the field holds no fencing token')
end
if seen and tonumber(ARGV[1]) < tonumber(seen) then
  return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[2] then
  redis.call('HSET', KEYS[1], 'value', ARGV[2])
end
return 1
