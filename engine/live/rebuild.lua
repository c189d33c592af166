-- Install an interview made anew from the record, over nothing or an older epoch only.
-- KEYS: state events commands due dirty tail
-- ARGV: id, epoch, due ("" none), expire_ms ("" never), bell, number of state fields and values, those, then
--       command id, hash and outcome, ...
local state, events, commands, due, dirty, tail = unpack(KEYS)
local held = redis.call('HGET', state, 'epoch')
if held and tonumber(held) >= tonumber(ARGV[2]) then return 'newer' end
redis.call('DEL', state, events, commands, tail)
local count = tonumber(ARGV[6])
for i = 7, 6 + count, 2 do redis.call('HSET', state, ARGV[i], ARGV[i + 1]) end
for i = 7 + count, #ARGV, 2 do redis.call('HSET', commands, ARGV[i], ARGV[i + 1]) end
if ARGV[3] == '' then redis.call('ZREM', due, ARGV[1]) else redis.call('ZADD', due, ARGV[3], ARGV[1]) end
redis.call('ZREM', dirty, ARGV[1])
if ARGV[4] ~= '' then
  for _, key in ipairs({state, commands}) do redis.call('PEXPIRE', key, ARGV[4]) end
end
local head = redis.call('HGET', state, 'head')
redis.call('PUBLISH', ARGV[5], table.concat({ARGV[2], head, head, 0}, ' '))
return 'ok'
