-- Put before the scripts that look at an owner. The value of a lock that readers share is
-- "S:redlock:"; while a waiter keeps further readers out, it ends with "<until>.<place>.<ticket>":
-- until when (ms, by this node's clock), and the place in the queue and the ticket of that waiter;
-- a "p" follows if the waiter polls. The readers are a sorted set of owners by the time (ms) when
-- each one's share ends. The lock lasts as long as the longest share. The set is only valid while
-- the lock has that value.

-- shared is until when a lock with that value is closed to further readers (ms; 0: it is open), or
-- nil if the lock is not shared; and the place and the ticket of the waiter that closed it, and
-- whether that one polls.
local function shared(value)
  local closed, place, ticket, polls = string.match(value or '', '^S:redlock:(%d*)%.?(%d*)%.?(%d*)(p?)$')
  return closed and (tonumber(closed) or 0), tonumber(place) or 0, ticket, polls == 'p'
end

-- clock is the time of this node in ms.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- label_of is the label of an owner of this library, which is 32 digits, perhaps with a label of
-- limited length; nil: the value is another program's.
local function label_of(owner)
  local label = #owner <= 1024 and string.match(owner .. ':', '^' .. string.rep('%x', 32) .. ':(.*)$')
  return label and (string.gsub(string.sub(label, 1, -2), '\n', ' ')) or nil -- one line for each
end

-- describe is the fingerprint of a lock's value, and the label of its owner: of several readers, of
-- the one whose share lasts longest. All readers together have one fingerprint.
local function describe(lock, value)
  local owner = value
  if shared(value) then
    value = 'S:redlock:'
    -- their key goes by the rule of the fencing register's
    local tagged = string.find(lock, '^[^{]*{[^}]+}') and lock .. ':' or '{' .. lock .. '}'
    owner = redis.pcall('ZRANGE', tagged .. ':redlock:readers', -1, -1)[1] or ''
  end
  return string.sub(redis.sha1hex(value), 1, 16) .. ' ' .. (label_of(owner) or '')
end

-- ends_of are the ends of those of the owners whose share of the lock has not ended.
local function ends_of(readers, owners, now)
  local ends, scores = {}, redis.call('ZMSCORE', readers, unpack(owners))
  for i, owner in ipairs(owners) do
    local score = tonumber(scores[i] or 0)
    ends[owner] = score >= now and score or nil
  end
  return ends
end
