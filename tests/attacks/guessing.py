"""Rows 36, 37 and 39: somebody guesses at one address, day after day, code after code; no other limit is in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from engine.identity.codes import CODE_TTL_SECONDS
from engine.identity.logins import Client
from engine.identity.mail_development import MAILBOX, delivered
from engine.identity.refused import SignInRefused
from engine.record.challenges import FAILURES_PER_DAY, TRIES_PER_CODE
from engine.web.parts import Parts
from tests.attacks.site import CODE
from tests.clock import HandClock
from tests.until import until

VICTIM = "victim@example.com"
CODES_A_DAY = FAILURES_PER_DAY // TRIES_PER_CODE + 2
"""Two more than the budget is good for."""
DAY = timedelta(days=1)
LAST_SECOND = CODE_TTL_SECONDS - 1
ROUND = DAY + timedelta(seconds=2 * CODE_TTL_SECONDS)
"""As soon as all failures of the day before are forgotten."""


@dataclass
class Report:
    """What came of the guesses, and of the owner's own visits."""

    guesses: Counter[str] = field(default_factory=Counter)
    """By the answer: a guess counts only where that is `code_wrong`."""
    counted_at: list[datetime] = field(default_factory=list)
    codes_asked: int = 0
    codes_sent: int = 0
    owner: Counter[str] = field(default_factory=Counter)

    @property
    def most_in_24_hours(self) -> int:
        """Of guesses that counted, wherever the 24 hours begin."""
        return max(sum(at <= other < at + DAY for other in self.counted_at) for at in self.counted_at)

    def lines(self) -> Iterator[str]:
        """The figures, for people."""
        counted = len(self.counted_at)
        yield f"codes asked for {self.codes_asked}, sent {self.codes_sent}"
        yield f"guesses {self.guesses.total()}: {dict(self.guesses)}"
        yield f"most that counted within 24 hours: {self.most_in_24_hours} (cap {FAILURES_PER_DAY})"
        yield f"chance of a hit by {counted} guesses: {counted / 10**6:.4%}"
        yield f"the owner, on a browser that is known: {dict(self.owner)}"


class Guesser:
    """Asks for codes in the victim's name and guesses; each day the owner signs in, on a browser that is known."""

    def __init__(self, parts: Parts, clock: HandClock) -> None:
        self._parts, self._clock = parts, clock
        self._owner = Client(browser="o" * 32, address="203.0.113.1")
        self.report = Report()

    async def run(self, days: int) -> Report:
        """On one day guess as soon as there is a code, on the next in the last second of codes asked for before."""
        await self._owner_signs_in()
        for day in range(days):
            ends = self._clock() + ROUND
            asked = []
            for _ in range(CODES_A_DAY):
                asked.append(await self._ask())
                if day % 2 == 0:
                    await self._guess(*asked.pop())
            self._clock.move(seconds=LAST_SECOND)
            for client, challenge in asked:
                await self._guess(client, challenge)
            await self._owner_signs_in()
            self._clock.move(seconds=(ends - self._clock()).total_seconds())
        self.report.codes_sent = int(self._parts.metrics.codes_sent.labels("sent")._value.get()) - days - 1
        return self.report

    async def _ask(self) -> tuple[Client, UUID]:
        self.report.codes_asked = n = self.report.codes_asked + 1
        client = Client(browser=f"{n:032d}", address=f"10.{n >> 8 & 255}.{n & 255}.9")
        await self._forget_limits()
        return client, (await self._parts.sign_in.request_code(VICTIM, client)).challenge_id

    async def _guess(self, client: Client, challenge: UUID) -> None:
        for n in range(TRIES_PER_CODE + 1):
            try:
                await self._parts.sign_in.verify_code(challenge, f"{n:06d}", client)
                self.report.guesses["hit"] += 1
            except SignInRefused as refused:
                self.report.guesses[refused.reason.value] += 1
                self.report.counted_at += [self._clock()] if refused.reason.value == "code_wrong" else []

    async def _owner_signs_in(self) -> None:
        await self._forget_limits()
        self._clock.move(seconds=1)  # a guesser's mail that is late bears another time
        challenge = (await self._parts.sign_in.request_code(VICTIM, self._owner)).challenge_id
        code = await until(self._code_of_now)
        assert code
        try:
            await self._parts.sign_in.verify_code(challenge, code, self._owner)
            self.report.owner["signed_in"] += 1
        except SignInRefused as refused:
            self.report.owner[refused.reason.value] += 1

    async def _code_of_now(self) -> str | None:
        now = int(self._clock().timestamp() * 1000)
        found = [CODE.search(mail.subject) for mail in await delivered(self._parts.redis) if mail.at == now]
        return found[0].group() if found and found[0] else None

    async def _forget_limits(self) -> None:
        """As if there were none: the cap on failures must hold by itself."""
        redis = self._parts.redis
        await redis.delete(MAILBOX, *[key async for key in redis.scan_iter("{limits}:*")])
