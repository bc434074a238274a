-- Gives up readers' shares of a lock, if they have not ended. When the last reader has left, the
-- lock is passed on to a waiter; or it is reserved for those that poll ("R:"), if one of them keeps
-- readers out: no notice reaches it. Until then it lasts as long as the longest share that is left;
-- if that is less than before, waiters are told, for that reader may be dead. Under a minimum
-- hold a share goes on as nobody's.
--
-- KEYS   1 lock  [2 queue of waiters]  last: readers
-- ARGV   the owners; then reservation for the first waiter (ms)
--        inbox of the releaser, if it has one
--        remaining life (ms); or 'quiet': the second waiter is told elsewhere; or nothing
-- Reply  a line for each: OK | GONE (it has no share)
local count = #ARGV - 3
local reserve, own, how = unpack(ARGV, count + 1, count + 3)
local lock, queue, readers, now = KEYS[1], #KEYS == 3 and KEYS[2] or nil, KEYS[#KEYS], clock()
local quiet, hold = how == 'quiet', tonumber(how)
local was = owner_of(lock)
local owners = {unpack(ARGV, 1, count)}
local closed, _, _, polls = shared(was)
local ends = closed and ends_of(readers, owners, now) or {}
local replies, leave = {}, {}
for i, owner in ipairs(owners) do
  replies[i] = ends[owner] and 'OK' or 'GONE'
  leave[#leave + 1] = ends[owner] and owner or nil
end

if #leave > 0 then
  redis.call('ZREM', readers, unpack(leave))
  for _, owner in ipairs(hold and leave or {}) do
    redis.call('ZADD', readers, string.format('%.0f', now + hold), nobodys(owner))
  end
  local left = (redis.call('ZRANGE', readers, -1, -1, 'WITHSCORES')[2] or -1) - now
  if left >= 0 then
    redis.pcall('ZREMRANGEBYSCORE', readers, '-inf', string.format('(%.0f', now)) -- of the crashed
    left = math.max(left, 1)
    if redis.call('PEXPIRE', lock, left, 'LT') == 1 then
      announce(lock, queue, left, reserve)
    else
      redis.call('PEXPIRE', lock, left, 'GT')
      redis.call('PEXPIRE', readers, left, 'GT')
    end
  elseif queue and polls and closed > now then
    local rest = math.min(closed - now, 500) -- it asks again before that is over
    redis.call('SET', lock, 'R:', 'PX', rest)
    announce(lock, queue, rest, reserve)
  elseif queue then
    pass(lock, queue, reserve, own, quiet)
  else
    drop(lock, was)
  end
elseif queue and own ~= '' and was == 'R:' .. own then -- reserved for the releaser
  pass(lock, queue, reserve, own, quiet)
end
return table.concat(replies, '\n')
