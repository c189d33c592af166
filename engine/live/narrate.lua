-- The narrative of a run grows: kept capped until the result holds it whole. Not an event, so not numbered.
-- The doorbell says the piece itself, for whoever has all before it.
-- Nothing grows for an interview that is not live: a worker may still write for one that was deleted.
-- KEYS: tail state
-- ARGV: run, attempt, offset, text, bytes_max, ttl_ms, bell
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local held = redis.call('HMGET', KEYS[1], 'run', 'attempt', 'text')
local run, attempt, text = tonumber(ARGV[1]), tonumber(ARGV[2]), held[3] or ''
if held[1] then
  local r, a = tonumber(held[1]), tonumber(held[2])
  if r > run or (r == run and a > attempt) then return 0 end
  if r < run or a < attempt then text = '' end
end
if #text ~= tonumber(ARGV[3]) then return 0 end
local piece = string.sub(ARGV[4], 1, tonumber(ARGV[5]) - #text)
redis.call('HSET', KEYS[1], 'run', run, 'attempt', attempt, 'text', text .. piece)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[7], table.concat({'tail', run, attempt, #text, piece}, ' '))
return 1
