-- Put before acquire, repair and rejoin under the restart guard. `wait` is how many ms the node
-- must still be kept out of new locks. `floor` is the clock when the restart was noticed: new
-- tokens are above it.
--
-- A server that was a replica of another for a while (a replica took its place, and gave it back)
-- has that server's data, perhaps without its own latest locks, but still has its own run id. It
-- counts the bytes of data that it has read from a master, which a master never reads, also when it
-- is copied. After CONFIG RESETSTAT the count is zero, which shows nothing.
--
-- KEYS   last: restart marker, a hash {run, ready_at (ms), floor (token), read (bytes)}, no expiry
-- ARGV   last: longest TTL (ms)
local marked = 1 -- one of the keys is the marker
local wait, floor
do
  local marker, guard = KEYS[#KEYS], tonumber(ARGV[#ARGV])
  local info = redis.call('INFO', 'server', 'stats')
  local run, read = string.match(info, 'run_id:(%w+)'), string.match(info, 'total_net_repl_input_bytes:(%d+)') or '0'
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local m = redis.call('HMGET', marker, 'run', 'ready_at', 'floor', 'read')
  local ready = tonumber(m[2])
  floor = tonumber(m[3])
  local followed = m[4] and m[4] ~= read and read ~= '0' -- not m[4]: an older marker
  if m[1] ~= run or not ready or not floor or followed then
    -- Leases that count this node end within the longest TTL after its last grant; the rest of
    -- the time allows for clocks that drift.
    ready = now + guard + math.ceil(guard / 100) + 100
    floor = t[1] * 1000000 + t[2]
    redis.call('HSET', marker, 'run', run, 'ready_at', string.format('%.0f', ready), 'floor', string.format('%.0f', floor), 'read', read)
  elseif m[4] ~= read then
    redis.call('HSET', marker, 'read', read)
  end
  wait = ready > now and ready - now or 0
end
