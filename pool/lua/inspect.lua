-- Reads the owner of the lock, the fencing register, and the readers who share the lock.
--
-- KEYS   1 lock  2 fencing register  [3 readers]
-- Reply  FREE <token> | OWNED <token> <pttl> <fingerprint> <label>; the token is 0 if there is none
--        SHARED <token> <pttl>  if the readers are asked for and share the lock; then a line for
--        each whose share has not ended, the one that ends last in the end:
--        <remaining life (ms)> <fingerprint> <label>
local owner = redis.call('GET', KEYS[1])
local f = redis.pcall('GET', KEYS[2])
if type(f) ~= 'string' or #f > 16 or not string.find(f, '^%d+$') then
  f = '0'
end
if not owner or string.sub(owner, 1, 2) == 'R:' then -- reserved for a waiter: no owner
  return 'FREE ' .. f
end
local pttl = redis.call('PTTL', KEYS[1])
if not KEYS[3] or not shared(owner) then
  return 'OWNED ' .. f .. ' ' .. pttl .. ' ' .. describe(KEYS[1], owner)
end
local lines, now = {'SHARED ' .. f .. ' ' .. pttl}, clock()
local readers = redis.call('ZRANGE', KEYS[3], string.format('%.0f', now), '+inf', 'BYSCORE', 'WITHSCORES')
for i = 1, #readers, 2 do
  lines[#lines + 1] = string.format('%.0f', readers[i + 1] - now) .. ' ' .. describe(KEYS[1], readers[i])
end
return table.concat(lines, '\n')
