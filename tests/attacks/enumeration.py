"""Row 42: is there anything in the answers, or in their times, that tells a known address from an unknown one?"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import asyncpg

from tests.attacks.volley import Shot
from tests.web.raw_socket import Answer, RawSocket

Kind = Literal["known", "unknown", "blocked"]
KINDS: tuple[Kind, ...] = ("known", "unknown", "blocked")
P_MIN = 0.01
DIFFERENCE_MS_MAX = 5.0
VARIES = ("x-request-id", "date", "set-cookie")
"""Headers of which only the length may be compared."""

KNOWN = """
WITH person AS (
  INSERT INTO users (id, email, email_key, created_at, updated_at)
  SELECT gen_random_uuid(), a, a, now(), now() FROM unnest($1::text[]) AS a RETURNING id, email_key
)
INSERT INTO user_auth_sessions
  (id, user_id, refresh_hash, client_hash, browser_hash, method, created_at, rotated_at, expires_at)
SELECT gen_random_uuid(), id, sha256(email_key::bytea), 'client', 'browser', 'code', now(), now(), now() + '30 days'
FROM person
"""
BLOCKED = """
INSERT INTO email_otps (id, email, email_key, code_hash, browser_hash, failures, expires_at, created_at)
SELECT gen_random_uuid(), a, a, 'code', 'guesser', 5, now(), now() - interval '10 min'
FROM unnest($1::text[]) AS a, generate_series(1, 2)
"""
"""Who has failed as often as may be: no code is sent to them until tomorrow."""


class Measured(NamedTuple):
    """What the answers of each kind looked like, and how long they took."""

    shapes: dict[Kind, set[str]]
    times_ms: dict[Kind, list[float]]

    def lines(self) -> Iterator[str]:
        """The figures, for people."""
        for kind, times in self.times_ms.items():
            cuts = statistics.quantiles(times, n=20)
            yield f"{kind:8} n={len(times)}  p50 {statistics.median(times):6.3f} ms  p95 {cuts[-1]:6.3f} ms"
        for one, other in itertools.combinations(self.times_ms, 2):
            same = "the same bytes" if self.shapes[one] == self.shapes[other] else "OTHER BYTES"
            p, apart = ks_test(self.times_ms[one], self.times_ms[other]), self.apart_ms(one, other)
            yield f"{one:8} and {other:8} {same}, KS p = {p:.3f}, difference of p50 {apart:.3f} ms"

    def apart_ms(self, one: Kind, other: Kind) -> float:
        return math.fabs(statistics.median(self.times_ms[one]) - statistics.median(self.times_ms[other]))

    def told_apart_by_bytes(self) -> bool:
        return len(set.union(*self.shapes.values())) > 1

    def told_apart_by_time(self) -> bool:
        return any(
            ks_test(self.times_ms[one], self.times_ms[other]) <= P_MIN or self.apart_ms(one, other) >= DIFFERENCE_MS_MAX
            for one, other in itertools.combinations(self.times_ms, 2)
        )


async def measure(database_url: str, port: int, each: int, seed: int) -> Measured:
    """Ask for a code for `each` addresses of each kind, one after the other in random order.

    Every request comes from another network, as the node is told by a proxy it trusts, and with the same cookie.
    """
    addresses = await _people(database_url, each, seed)
    order = [(kind, address) for kind in KINDS for address in addresses[kind]]
    random.Random(seed).shuffle(order)
    measured = Measured({kind: set() for kind in KINDS}, {kind: [] for kind in KINDS})
    line = await RawSocket.connect(port)
    cookie = ""
    for n, (kind, address) in enumerate([("unknown", f"first{seed}@example.com"), *order]):
        headers = {"x-forwarded-for": f"10.{n >> 8}.{n & 255}.7", "cookie": cookie}
        shot = bytes(Shot(port, "POST", "/v1/auth/otp", {"email": address}, headers))
        started = time.perf_counter()
        line.send_bytes(shot)
        answer = await line.answer()
        if n:  # the first gave the cookie
            measured.times_ms[kind].append((time.perf_counter() - started) * 1000)
            measured.shapes[kind].add(shape(answer))
        cookie = answer.headers["set-cookie"].partition(";")[0]
        await asyncio.sleep(0)
    line.close()
    return measured


async def _people(database_url: str, each: int, seed: int) -> dict[Kind, list[str]]:
    addresses = {kind: [f"{seed}.{n:06d}.{kind:.3}@example.com" for n in range(each)] for kind in KINDS}
    record = await asyncpg.connect(database_url)
    try:
        await record.execute(KNOWN, addresses["known"])
        await record.execute(BLOCKED, addresses["blocked"])
        await record.execute("ANALYZE")
    finally:
        await record.close()
    return addresses


def shape(answer: Answer) -> str:
    """All of an answer but what is random in it, of which the length stays."""
    headers = {name: _masked(value) if name in VARIES else value for name, value in answer.headers.items()}
    body = json.loads(answer.body)
    if "challenge_id" in body:
        body["challenge_id"] = _masked(body["challenge_id"])
    return json.dumps([answer.status, len(answer.body), list(headers.items()), list(body.items())])


def _masked(text: str) -> str:
    head, _, attributes = text.partition(";")
    return f"<{len(head)}>{attributes}"


def ks_test(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sample Kolmogorov-Smirnov test: how likely so great a difference is, were both of one source."""
    values = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    seen, apart = [0, 0], 0.0
    for _, ties in itertools.groupby(values, key=lambda pair: pair[0]):
        for _, which in ties:
            seen[which] += 1
        apart = max(apart, abs(seen[0] / len(one) - seen[1] / len(other)))
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    at = (root + 0.12 + 0.11 / root) * apart
    if at < 0.2:
        return 1.0
    terms = ((-1.0) ** (k - 1) * math.exp(-2 * (k * at) ** 2) for k in range(1, 101))
    return min(1.0, 2 * math.fsum(terms))
