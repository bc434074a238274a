-- Takes the first free one of the slots of a semaphore, each of which is a lock.
--
-- KEYS  the slots  [the fencing register of each]  [queue of waiters]  last: [restart marker]
-- ARGV  1 owner  2 hint (token)  3 ttl (ms)  4 retention (ms; 0: without fencing)  5 how many slots  6 the first to look at (from 0)
--       [7 inbox  8 ticket (us)  9 age (us): a refusal queues the inbox]  [last: longest TTL]
-- Reply  as in take; but OK and AGAIN are followed by the slot, and by a digit for each slot: 1 if it was free, or the owner's, or
--        reserved for the inbox, else 0; HELD and FOREIGN tell of the first slot, with the least life of any owner
--        WAIT <ms>                         the node is kept out of new locks for that long
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
local owner, hint, ttl, retention, count, begin = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local fenced = retention ~= '0'
local queue = #KEYS - marked > (fenced and 2 or 1) * count and KEYS[#KEYS - marked] or nil

local function take(slot)
  local fence = fenced and KEYS[count + slot] or nil
  return acquire(KEYS[slot], fence, owner, hint, ttl, retention, floor, queue, ARGV[7], ARGV[8], ARGV[9])
end

local owners, open, first, own = redis.call('MGET', unpack(KEYS, 1, count)), {}, nil, nil
for i = 0, count - 1 do
  local slot = (begin + i) % count + 1
  local was = owners[slot]
  local free = not was or queue and was == 'R:' .. ARGV[7]
  first = first or free and slot
  own = was == owner and slot or own
  open[slot] = (free or was == owner) and '1' or '0'
end
local slot = own or first -- a request that comes twice is one request, whatever is free by now
if slot then
  local reply = take(slot)
  if string.find(reply, '^OK ') or string.find(reply, '^AGAIN ') then
    reply = reply .. ' ' .. slot - 1 .. ' ' .. table.concat(open)
  end
  return reply
end

local least
for i = 1, count do
  local left = string.sub(owners[i], 1, 2) ~= 'R:' and life(KEYS[i]) or -1
  if left >= 0 and (not least or left < least) then
    least = left
  end
end
local reply = take(begin + 1)
if least then -- but a first slot that is reserved is told of as that
  reply = string.gsub(reply, '^(%u+) %-?[1-9]%d*', '%1 ' .. least)
end
return reply
