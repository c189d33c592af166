"""How often something may be done. One script takes from all the limits that apply, or from none.

Each limit is a bucket that holds `count` and fills again evenly over its window (the generic cell rate algorithm):
what is refused is told the exact wait, and asking while refused does not make the wait longer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

KEY_CHARS_MAX = 200


class Limit(msgspec.Struct, frozen=True):
    """At most `count` at once, and `count` per `window_seconds` over time; counted for each subject by itself."""

    name: str
    count: int
    window_seconds: int
    bytes_each: int | None = None
    """For what brings a body: it costs one, and one more for each so many bytes."""

    def cost(self, length: int) -> int:
        """What a body of `length` bytes costs."""
        return 1 if self.bytes_each is None else 1 + length // self.bytes_each


class Taken(msgspec.Struct, frozen=True):
    """What a limit and a subject came to. `wait_ms` 0: go on."""

    wait_ms: int
    limit: Limit | None = None
    """The limit that refused."""

    @property
    def wait_seconds(self) -> int:
        """For a Retry-After header: whole seconds, rounded up."""
        return -(-self.wait_ms // 1000)


# KEYS: one a limit. ARGV: count and window in ms, for each, then the cost. Gives {0, 0} or {wait in ms, which}.
# A key holds the instant at which its bucket is full again; it goes when that is past.
SCRIPT = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local cost = tonumber(ARGV[#ARGV])
local full = {}
local wait, which = 0, 0
for i, key in ipairs(KEYS) do
  local count, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local at = math.max(tonumber(redis.call('GET', key) or '0'), now) + cost * window / count
  full[i] = at
  if at - now - window > wait then
    wait, which = math.ceil(at - now - window), i
  end
end
if wait > 0 then
  return {wait, which}
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.3f', full[i]), 'PX', math.ceil(full[i] - now))
end
return {0, 0}
"""

# KEYS and ARGV as above, without the cost: one. A bucket is full at its sooner instant again, never before now.
BACK = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i, key in ipairs(KEYS) do
  local count, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local at = tonumber(redis.call('GET', key) or '0') - window / count
  if at > now then
    redis.call('SET', key, string.format('%.3f', at), 'PX', math.ceil(at - now))
  else
    redis.call('DEL', key)
  end
end
"""


async def take(redis: Redis, wanted: Sequence[tuple[Limit, str]], cost: int = 1) -> Taken:
    """Take `cost` from each (limit, subject), or, when any of them has less, from none.

    What costs more than a limit's count never passes. Subjects are stored as they are: hash what is secret or
    personal before.
    """
    script = redis.register_script(SCRIPT)
    wait_ms, which = await script(keys=_keys(wanted), args=[*_numbers(wanted), cost])
    return Taken(int(wait_ms), wanted[int(which) - 1][0] if which else None)


async def give_back(redis: Redis, taken: Sequence[tuple[Limit, str]]) -> None:
    """Undo a `take`: for limits on what goes wrong, which are taken from before it is known whether it does."""
    if taken:
        await redis.register_script(BACK)(keys=_keys(taken), args=_numbers(taken))


def _keys(wanted: Sequence[tuple[Limit, str]]) -> list[str]:
    return [f"{{limits}}:{limit.name}:{subject[:KEY_CHARS_MAX]}" for limit, subject in wanted]


def _numbers(wanted: Sequence[tuple[Limit, str]]) -> list[int]:
    return [number for limit, _ in wanted for number in (limit.count, limit.window_seconds * 1000)]


def network(address: str) -> str:
    """The network an address is counted with: its /24, or its /48 for IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped  # a socket of both families: all of IPv4 would be one network
    bits = 24 if ip.version == 4 else 48
    return str(ipaddress.ip_network((ip, bits), strict=False))
