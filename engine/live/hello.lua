-- A tab comes in: who holds the pen, what it missed, what became of its commands, and the state, all at one instant.
-- KEYS: state events commands tail
-- ARGV: tab, want (1 or 0), take (1 or 0), fence ("" for a new tab), resume epoch ("" none), resume seq, bell,
--       clock_offset_ms, events_max, bytes_max, then the ids of pending commands
local state, events, commands, tail = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[8])
local held = redis.call('HMGET', state, 'epoch', 'head', 'recorded', 'fence', 'tab')
if not held[1] then return {'gone', now} end
local epoch, head, fence = held[1], tonumber(held[2]), tonumber(held[4])

local tab, given = ARGV[1], ARGV[4]
local free = held[5] == '' or held[5] == tab
local writes = ARGV[2] == '1' and (given == '' or given == epoch .. ':' .. fence or free or ARGV[3] == '1')
if writes then
  fence = fence + 1
  redis.call('HSET', state, 'fence', fence, 'tab', tab)
  redis.call('PUBLISH', ARGV[7], table.concat({epoch, held[3], held[3], fence}, ' '))
end

local mode, missed, bytes, since = 'snapshot', {}, 0, tonumber(ARGV[6])
if ARGV[5] == epoch and since <= head and head - since <= tonumber(ARGV[9]) then
  local bytes_max, page = tonumber(ARGV[10]), 32
  repeat -- in pages, so that what is too much to send is not read either
    local found = redis.call('XRANGE', events, (since + #missed + 1) .. '-0', '+', 'COUNT', page)
    for _, entry in ipairs(found) do
      missed[#missed + 1] = entry[2][2]
      bytes = bytes + #entry[2][2]
    end
  until #found < page or bytes > bytes_max
  if #missed == head - since and bytes <= bytes_max then mode = since == head and 'noop' or 'replay' end
end

local outcomes = {}
for i = 11, #ARGV do outcomes[#outcomes + 1] = redis.call('HGET', commands, ARGV[i]) or '' end
return {'ok', now, writes and 1 or 0, mode, mode == 'replay' and missed or {}, outcomes,
        redis.call('HGETALL', state), redis.call('HGETALL', tail)}
