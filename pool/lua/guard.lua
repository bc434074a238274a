-- Put before acquire, repair and rejoin under the restart guard: `wait` is how many ms the node is still to be kept out of
-- new locks, `floor` is below all tokens it may have given before it restarted.
--
-- KEYS  last: restart marker, a hash {run, ready_at (ms), floor (token)} without expiry
-- ARGV  last: longest TTL (ms)
local marked = 1 -- one of the keys is the marker
local wait, floor
do
  local marker, guard = KEYS[#KEYS], tonumber(ARGV[#ARGV])
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local m = redis.call('HMGET', marker, 'run', 'ready_at', 'floor')
  local ready = tonumber(m[2])
  floor = tonumber(m[3])
  if m[1] ~= run or not ready or not floor then
    -- Leases that counted on this node end within the longest TTL of its last grant; the rest is for clocks that drift.
    ready = now + guard + math.ceil(guard / 100) + 100
    floor = t[1] * 1000000 + t[2]
    redis.call('HSET', marker, 'run', run, 'ready_at', string.format('%.0f', ready), 'floor', string.format('%.0f', floor))
  end
  wait = ready > now and ready - now or 0
end
