-- Gives up each lock if it is its owner's.
--
-- KEYS   1 lock  [2 queue of waiters]; or lock and queue of each of several
-- ARGV   the owner of each lock; then reservation for the first waiter (ms)
--        [inbox of the releaser, if it has one  [remaining life (ms), of one lock;
--        or 'quiet': the second waiter is told elsewhere]]
-- Reply  as in give; for several locks one line for each: one of these, or "-" and an error
local keys = #KEYS
if keys < 3 then -- one lock
  return release(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
end
local replies, count = {}, keys / 2
for i = 1, count do
  local done, reply = pcall(release, KEYS[2 * i - 1], KEYS[2 * i], ARGV[i], ARGV[count + 1], ARGV[count + 2], ARGV[count + 3])
  replies[i] = done and reply or '-' .. string.gsub(reply.err or reply, '\n', ' ')
end
return table.concat(replies, '\n')
