-- Ends the time for which a restarted node is kept out of new locks.
--
-- KEYS   1 restart marker
-- Reply  OK
local info = redis.call('INFO', 'server', 'stats')
local run, read = string.match(info, 'run_id:(%w+)'), string.match(info, 'total_net_repl_input_bytes:(%d+)') or '0'
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'run', run, 'ready_at', '0', 'floor', string.format('%.0f', t[1] * 1000000 + t[2]), 'read', read)
return 'OK'
