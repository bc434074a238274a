-- Ends the time for which a restarted node is kept out of new locks.
--
-- KEYS  1 restart marker
-- Reply  OK
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'run', run, 'ready_at', '0', 'floor', string.format('%.0f', t[1] * 1000000 + t[2]))
return 'OK'
