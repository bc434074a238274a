-- Takes one of the slots of a semaphore, each of which is a lock: the first one that is free, or
-- only a certain one. In the second case, if another slot is reserved for the inbox, that
-- reservation is exchanged or passed on.
--
-- KEYS   the slots  [the fencing register of each]  [queue of waiters]  last: [restart marker]
-- ARGV   1 owner  2 hint (token)  3 ttl (ms)  4 retention (ms; 0: without fencing)
--        5 how many slots  6 the first to look at (from 0)  7 1: only that one; otherwise 0
--        8 reservation for a waiter (ms)
--        [9 inbox  10 ticket (us)  11 age (us): a refusal queues the inbox]  [last: longest TTL]
-- Reply  as in take; but OK and AGAIN are followed by the slot, and by a digit for each slot: 1 if
--        it was free, or the owner's, or reserved for the inbox, otherwise 0; HELD and FOREIGN are
--        about the first slot, with the least remaining life of any owner
--        WAIT <ms>                         the node is kept out of new locks for that long
if wait > 0 then
  return 'WAIT ' .. string.format('%.0f', wait)
end
local owner, hint, ttl, retention, count, begin = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local fenced = retention ~= '0'
local queue = #KEYS - marked > (fenced and 2 or 1) * count and KEYS[#KEYS - marked] or nil
local mine = queue and 'R:' .. ARGV[9]
local owners = owners_of(count)

local function take(slot)
  local fence = fenced and KEYS[count + slot] or nil
  return acquire(KEYS[slot], fence, owner, hint, ttl, retention, floor, queue, ARGV[9], ARGV[10], ARGV[11])
end

-- exchange swaps two reservations: if the slot is reserved for another inbox, and a second slot for
-- this one, each gets the other's. Nodes may have notified two waiters of the same two slots in
-- different orders.
local function exchange(slot)
  local other = owners[slot]
  for i = 1, count do
    if i ~= slot and owners[i] == mine then
      if other and other ~= mine and string.sub(other, 1, 2) == 'R:' then
        local left = math.max(life(KEYS[slot]), 1)
        redis.call('SET', KEYS[i], other, 'PX', left)
        redis.call('SET', KEYS[slot], mine, 'PX', left)
        redis.pcall('PUBLISH', string.sub(other, 3), 'go ' .. KEYS[i])
        other = mine
      else
        pass(KEYS[i], queue, ARGV[8], ARGV[9], true)
      end
    end
  end
end

if ARGV[7] == '1' then
  if queue then
    exchange(begin + 1)
  end
  return take(begin + 1)
end

local open, first, own = {}, nil, nil
local function look(from, to)
  for slot = from, to do
    local was = owners[slot]
    open[slot] = '1'
    if not was or was == mine then
      first = first or slot
    elseif was == owner then
      own = slot
    else
      open[slot] = '0'
    end
  end
end
look(begin + 1, count)
look(1, begin)
local slot = own or first -- a repeated request gets its own slot, whatever is free by now
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
if least then -- but a first slot that is reserved is reported as reserved
  reply = string.gsub(reply, '^(%u+) %-?[1-9]%d*', '%1 ' .. least)
end
return reply
