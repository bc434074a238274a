-- Gives each lock a full TTL again if it is still its owner's. It never creates a lock.
--
-- KEYS   1 lock  [its fencing register]; or those of each of several
-- ARGV   owner and token of each lock; then ttl (ms)  retention (ms; 0: without fencing)
-- Reply  OK | GONE (the lock is not the owner's); for several locks one line for each:
--        one of these, or "-" and an error
local function extend(lock, fence, owner, token, ttl, retention)
  if owner_of(lock) ~= owner then
    return 'GONE'
  end
  redis.call('PEXPIRE', lock, ttl, 'GT')
  if fence then
    keep(fence, token, retention)
  end
  return 'OK'
end

local ttl, retention = ARGV[#ARGV - 1], ARGV[#ARGV]
local keys = retention == '0' and 1 or 2 -- of each lock
if #KEYS == keys then -- one lock
  return extend(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ttl, retention)
end
local replies = {}
for i = 1, #KEYS / keys do
  local fence = keys == 2 and KEYS[2 * i] or nil
  local done, reply = pcall(extend, KEYS[keys * (i - 1) + 1], fence, ARGV[2 * i - 1], ARGV[2 * i], ttl, retention)
  replies[i] = done and reply or '-' .. string.gsub(reply.err or reply, '\n', ' ')
end
return table.concat(replies, '\n')
