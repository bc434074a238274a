-- Reads the owner of the lock, and the fencing register.
--
-- KEYS   1 lock  2 fencing register
-- Reply  FREE <token> | OWNED <token> <pttl> <fingerprint> <label>; the token is 0 if there is none
local owner = redis.call('GET', KEYS[1])
local f = redis.pcall('GET', KEYS[2])
if type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') then
  f = '0'
end
if not owner or string.sub(owner, 1, 2) == 'R:' then -- reserved for a waiter: no owner
  return 'FREE ' .. f
end
local label = #owner <= 1024 and string.match(owner, '^' .. string.rep('%x', 32) .. ':(.*)$') or ''
return 'OWNED ' .. f .. ' ' .. redis.call('PTTL', KEYS[1]) .. ' ' .. string.sub(redis.sha1hex(owner), 1, 16) .. ' ' .. label
