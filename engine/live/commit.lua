-- Apply one command, whole or not at all. Refuses a stale writer, a repeated id, a stale version, a wrong clock.
-- KEYS: state events commands due dirty
-- ARGV: id, epoch, head, fence ("" for the clock and workers), now_ms, clock_offset_ms, skew_ms_max, holds_from,
--       holds_until ("" forever), command id, body hash, outcome, due ("" none), expire_ms ("" never),
--       number of events, last (what made event `head`), the events, then field, value, ... of the state
local state, events, commands, due, dirty = unpack(KEYS)
local id, epoch, head, fence = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[6])

local held = redis.call('HMGET', state, 'epoch', 'head', 'recorded', 'fence', 'last')
if not held[1] then return {'gone', now} end
if fence ~= '' and fence ~= held[1] .. ':' .. held[4] then return {'fenced', now, held[1]} end

local seen = redis.call('HGET', commands, ARGV[10])
if seen then
  local hash = ARGV[11]
  if string.sub(seen, 1, #hash) ~= hash then return {'id_reused', now} end
  return {'seen', now, string.sub(seen, #hash + 1), held[1], held[2], held[3]}
end

if held[1] ~= epoch or tonumber(held[2]) ~= head or held[5] ~= ARGV[16] then return {'stale', now} end
if math.abs(now - tonumber(ARGV[5])) > tonumber(ARGV[7]) then return {'clock', now} end
if now < tonumber(ARGV[8]) then return {'clock', now} end
if ARGV[9] ~= '' and now >= tonumber(ARGV[9]) then return {'clock', now} end

local count = tonumber(ARGV[15])
for i = 1, count do
  local entry = {'b', ARGV[16 + i]}
  if i == 1 then entry = {'b', ARGV[17], 'c', ARGV[10], 'h', ARGV[11], 'o', ARGV[12]} end
  redis.call('XADD', events, (head + i) .. '-0', unpack(entry))
end
local fields = {'head', head + count, 'last', ARGV[5] .. ' ' .. ARGV[10]}
for i = 17 + count, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', state, unpack(fields))
redis.call('HSET', commands, ARGV[10], ARGV[11] .. ARGV[12])
if ARGV[13] == '' then redis.call('ZREM', due, id) else redis.call('ZADD', due, ARGV[13], id) end
redis.call('ZADD', dirty, 'NX', now, id)
if ARGV[14] ~= '' then
  for _, key in ipairs({state, events, commands}) do redis.call('PEXPIRE', key, ARGV[14]) end
end
return {'ok', now}
