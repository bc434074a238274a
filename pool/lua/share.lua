-- Lets owners share a lock unless another has it alone, or a waiter that has waited longer keeps
-- further readers out. Each shares it for a TTL of its own. The first to come lets in those at the
-- head of the queue. The fencing register is read, not raised. One that is missing begins at this
-- node's clock, as in acquire; one from before the node's last restart, above the clock when that
-- was noticed.
--
-- KEYS   1 lock  [fencing register]  [queue of waiters]  readers  last: [restart marker]
-- ARGV   owner and hint (token) of each; then ttl (ms)  retention (ms; 0: without fencing)
--        inbox  ticket (us)  age (us): a refusal queues the inbox  [last: longest TTL]
-- Reply  a line for each owner:
--        OK <token>, AGAIN <token>, HELD, FOREIGN, BADFENCE as in take; a share that had not ended
--        is granted AGAIN
--        WAIT <ms>  the node is kept out of new locks for that long
local count = (#ARGV - marked - 5) / 2
local ttl, retention, inbox, ticket, age = unpack(ARGV, 2 * count + 1, 2 * count + 5)
local lock, readers = KEYS[1], KEYS[#KEYS - marked]
local fence = retention ~= '0' and KEYS[2] or nil
local queue = #KEYS - marked > (fence and 3 or 2) and KEYS[fence and 3 or 2] or nil
local replies, owners = {}, {}
for i = 1, count do
  owners[i] = ARGV[2 * i - 1]
end
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait) .. string.rep('\nWAIT ' .. string.format('%.0f', wait), count - 1)
end

local now, was = clock(), redis.call('GET', lock)
local closed, first = shared(was)
local free = not was or queue and inbox ~= '' and was == 'R:' .. inbox
-- Read in any case: an owner that may not read its share could neither extend nor release it.
local ends = ends_of(readers, owners, now)
ends = closed and ends or {}
local open = free or closed and (closed <= now or queue and place_of(ticket, age) < first)
local enter = {}
for _, owner in ipairs(owners) do
  enter[#enter + 1] = (open or ends[owner]) and owner or nil
end

local refused
if #enter < count then
  local deaf = queue and not await(lock, was, queue, inbox, ticket, age)
  local left = life(lock)
  if closed then
    left = left < 0 and closed - now or math.min(left, closed - now)
  end
  refused = refusal(lock, was, left, deaf)
end

local token
if #enter > 0 then
  token = fence and version(fence, ARGV[2], floor) or not fence and '0'
  if token then
    join(lock, readers, free, enter, ends, ttl, now, fence, token, retention)
    if queue then
      redis.pcall('ZREM', queue, inbox)
      admit(lock, queue)
    end
  end
end

for i, owner in ipairs(owners) do
  if not open and not ends[owner] then
    replies[i] = refused
  elseif not token then
    replies[i] = 'BADFENCE'
  else
    replies[i] = (ends[owner] and 'AGAIN ' or 'OK ') .. token
  end
end
return table.concat(replies, '\n')
