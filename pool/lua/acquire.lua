-- Takes locks, each for its owner if it is free, and raises their fencing registers F.
--
-- KEYS   1 lock  [fencing register]  [queue of waiters]; or lock and register of each of several
--        last: [restart marker]
-- ARGV   owner and hint (token) of each lock; then ttl (ms)  retention (ms; 0: without fencing)
--        [inbox  ticket (us)  age (us): a refusal queues the inbox]  [last: longest TTL]
-- Reply  as in take; or WAIT <ms> if the node is kept out of new locks for that long
--        for several locks one line for each: one of these, or "-" and an error
local keys = #KEYS - marked
if wait > 0 then
  local reply = 'WAIT ' .. string.format('%.0f', wait)
  return reply .. string.rep('\n' .. reply, math.floor(keys / 2) - 1)
end
if keys < 4 then -- one lock
  local fence = ARGV[4] ~= '0' and KEYS[2] or nil
  local queue = keys == (fence and 3 or 2) and KEYS[keys] or nil
  return acquire(KEYS[1], fence, ARGV[1], ARGV[2], ARGV[3], ARGV[4], floor, queue, ARGV[5], ARGV[6], ARGV[7])
end
local replies, ttl, retention = {}, ARGV[keys + 1], ARGV[keys + 2]
for i = 1, keys, 2 do
  local done, reply = pcall(acquire, KEYS[i], KEYS[i + 1], ARGV[i], ARGV[i + 1], ttl, retention, floor)
  replies[(i + 1) / 2] = done and reply or '-' .. string.gsub(reply.err or reply, '\n', ' ')
end
return table.concat(replies, '\n')
