-- The record holds the events to `seq`: remember it, let go of what nobody will replay, and ring.
-- "stale": this copy is of another epoch, or has lost what the record holds, and is not told: it must be made anew.
-- KEYS: state events dirty
-- ARGV: id, epoch, seq, bell, events kept, how event `seq` begins ("" unknown)
local state, events, dirty = unpack(KEYS)
local held = redis.call('HMGET', state, 'epoch', 'head', 'recorded', 'fence')
if not held[1] then redis.call('ZREM', dirty, ARGV[1]) return 'gone' end
local seq, head = tonumber(ARGV[3]), tonumber(held[2])
if held[1] ~= ARGV[2] or seq > head then return 'stale' end
local at = ARGV[3] .. '-0'
local there = ARGV[6] ~= '' and redis.call('XRANGE', events, at, at)[1]
if there and string.sub(there[2][2], 1, #ARGV[6]) ~= ARGV[6] then return 'stale' end
local recorded = math.max(tonumber(held[3]), seq)
redis.call('HSET', state, 'recorded', recorded)
if recorded >= head then redis.call('ZREM', dirty, ARGV[1]) end
local oldest = math.min(recorded, head - tonumber(ARGV[5])) + 1
if oldest > 1 then redis.call('XTRIM', events, 'MINID', '~', oldest .. '-0') end
redis.call('PUBLISH', ARGV[4], table.concat({held[1], recorded, recorded, held[4]}, ' '))
return 'ok'
