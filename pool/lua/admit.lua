-- Put before share and leave: lets in those at the head of the queue of a shared lock. A reader is
-- told "go". A waiter of another kind that listens is told "next 0": it then asks for the lock,
-- which keeps further readers out. One that does not listen is dead, and is forgotten.
local function of_readers(inbox)
  return string.sub(inbox, 1, 15) == 'redlock:inbox:r'
end

local function admit(lock, queue)
  while true do
    local first = redis.pcall('ZRANGE', queue, 0, 0)[1]
    if not first then
      return
    end
    local reader = of_readers(first)
    local heard = redis.pcall('PUBLISH', first, (reader and 'go ' or 'next 0 ') .. lock)
    if type(heard) ~= 'number' or not reader and heard > 0 or redis.pcall('ZREM', queue, first) ~= 1 then
      return
    end
  end
end

