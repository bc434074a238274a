-- Gives readers' shares of a lock a full TTL again, if they have not ended.
--
-- KEYS   1 lock  [2 its fencing register]  last: readers
-- ARGV   owner and token of each; then ttl (ms)  retention (ms; 0: without fencing)
-- Reply  a line for each: OK | GONE (it has no share)
local lock, readers, now = KEYS[1], KEYS[#KEYS], clock()
local ttl, retention = ARGV[#ARGV - 1], ARGV[#ARGV]
local owners, token = {}, 0
for i = 1, #ARGV / 2 - 1 do
  owners[i] = ARGV[2 * i - 1]
end
local ends = shared(owner_of(lock)) and ends_of(readers, owners, now) or {}
local replies, members = {}, {}
for i, owner in ipairs(owners) do
  replies[i] = 'GONE'
  if ends[owner] then
    replies[i] = 'OK'
    members[#members + 1] = string.format('%.0f', now + ttl)
    members[#members + 1] = owner
    token = math.max(token, ARGV[2 * i])
  end
end
if #members > 0 then
  -- in this order: a server that is out of memory refuses a script whose first write is a ZADD
  redis.call('PEXPIRE', lock, ttl, 'GT')
  redis.call('PEXPIRE', readers, ttl, 'GT')
  redis.call('ZADD', readers, 'GT', unpack(members))
  if retention ~= '0' then
    keep(KEYS[2], string.format('%.0f', token), retention)
  end
end
return table.concat(replies, '\n')
