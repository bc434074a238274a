-- Put before the scripts that take a lock: refuses it because of another owner, and queues a
-- waiter's inbox.

-- life is how long another owner's lock will last, in ms, rounded up; -1: without end, or unknown.
local function life(lock)
  local pttl = redis.pcall('PTTL', lock)
  return type(pttl) ~= 'number' and -1 or pttl == 0 and 1 or pttl
end

-- place_of is the place in the queue of a waiter with that ticket, which is the same on all nodes.
-- If this node's clock may be read, a ticket of a clock that is wrong by more than a second is
-- replaced by the node's own time.
local function place_of(ticket, age)
  local since, t = tonumber(ticket), redis.pcall('TIME')
  if not t.err then
    local seen = t[1] * 1000000 + t[2] - tonumber(age)
    if math.abs(since - seen) > 1000000 then
      return seen
    end
  end
  return since
end

-- enqueue puts the inbox into the queue, and reports whether it is there.
local function enqueue(queue, inbox, ticket, age)
  local place = string.format('%.0f', place_of(ticket, age))
  if type(redis.pcall('ZADD', queue, place, inbox)) ~= 'number' then
    return false
  end
  if redis.pcall('PEXPIRE', queue, 60000) == 1 then
    return true
  end
  redis.pcall('ZREM', queue, inbox) -- a queue without expiry must not stay
  return false
end

-- await queues the inbox of a request that another owner's lock refuses, and reports whether it is
-- in the queue; one who polls has no inbox to be queued.
local function await(lock, was, queue, inbox, ticket, age)
  if inbox == '' then
    return true
  end
  if not enqueue(queue, inbox, ticket, age) then
    return false
  end
  if string.sub(was, 1, 2) == 'R:' and redis.pcall('ZRANGE', queue, 0, 0)[1] == inbox then
    -- It is the next in the queue, which was empty when the lock was passed on.
    redis.pcall('PUBLISH', inbox, 'next ' .. math.max(life(lock), 1) .. ' ' .. lock)
  end
  return true
end

-- refusal is the reply about another owner's lock, which may be free in so many ms. deaf says that
-- the inbox could not be queued.
local function refusal(lock, was, left, deaf)
  local reserved = string.sub(was, 1, 2) == 'R:'
  local of = describe(lock, was)
  if deaf or not (reserved or shared(was) or label_of(was)) then
    return 'FOREIGN ' .. left .. ' ' .. string.sub(of, 1, 16)
  end
  return 'HELD ' .. (reserved and 0 or left) .. ' ' .. of
end

-- shut keeps further readers out of a shared lock, for a waiter that asks again before this ends;
-- but not those that have waited longer. While a waiter does so that has waited longer, nothing
-- changes. deaf says that it is not in the queue: then it asks more often. Without permission to
-- read this node's clock, readers still come in.
local function shut(lock, was, deaf, inbox, ticket, age)
  local t = redis.pcall('TIME')
  if t.err then
    return
  end
  local now, place = t[1] * 1000 + math.floor(t[2] / 1000), place_of(ticket, age)
  local closed, first, by = shared(was)
  if closed > now and by == ticket then
    place = math.min(place, first)
  elseif closed > now and place > first then
    return
  end
  local polls = inbox == '' and 'p' or ''
  closed = math.max(closed, now + ((deaf or inbox == '') and 1000 or 8000))
  redis.pcall('SET', lock, string.format('S:redlock:%.0f.%.0f.%s%s', closed, place, ticket, polls), 'KEEPTTL')
end
