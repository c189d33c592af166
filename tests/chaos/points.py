"""Every failpoint of the engine, and what is done to a process there: `./run chaos --failpoints`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from signal import SIGTERM
from typing import Any, Literal, NamedTuple

import httpx2
from redis.asyncio import Redis

from engine.failpoints import Point
from engine.identity.codes import RESEND_SECONDS
from tests.chaos.nemesis import Nemesis
from tests.chaos.trial import LEASE_SECONDS
from tests.loopback import http_client
from tests.stack import CODE, Node, Process, Stack
from tests.until import cancelled, time_passes, until

PASSED_SECONDS = 40.0
"""People play until it is passed; on a busy machine a process takes seconds to start."""
AGAIN_SECONDS = 0.3
SOCKETS_OPEN = "engine_sockets_open "
OVERSLEPT = f"pause:{LEASE_SECONDS * 2 + 0.5}"
Who = Literal["node0", "node1", "worker0", "worker1"]
EVERYWHERE: tuple[Who, ...] = ("node0", "worker0")


class Place(NamedTuple):
    """Whose process passes a point, and what may befall it there."""

    who: tuple[Who, ...] = ("node0",)
    actions: tuple[str, ...] = ("kill", "raise")
    sent: str = ""
    """What must be done for the point to be passed, where playing is not enough."""


PLACES: dict[Point, Place] = {
    "started": Place(),
    "ticket": Place(),
    "hello": Place(),
    "deadline": Place(("node0", "node1"), ("kill", "raise", "pause:0.7")),
    "commit.before": Place(EVERYWHERE, ("kill", "raise", "pause:1")),
    "commit.after": Place(EVERYWHERE),
    "record.before": Place(EVERYWHERE, ("kill", "raise", "pause:1")),
    "record.after": Place(EVERYWHERE),
    "recorded.before": Place(EVERYWHERE),
    "recorded.after": Place(EVERYWHERE),
    "tell": Place(EVERYWHERE),
    "ring": Place(),
    "unclaimed": Place(("worker0",)),
    "claimed": Place(("worker0",), ("kill", "raise", OVERSLEPT)),
    "verdict.before": Place(("worker0",), ("kill", "raise", OVERSLEPT)),
    "verdict.after": Place(("worker0",)),
    "end.before": Place(("worker0",), ("kill", "raise", OVERSLEPT)),
    "end.after": Place(("worker0",)),
    "announced": Place(("worker0",)),
    "rebuild.before": Place(sent="flush"),
    "rebuild.after": Place(sent="flush"),
    "draining": Place(actions=("kill",), sent="drain"),  # nothing fails there: it only sends
    "drained": Place(actions=("kill",), sent="drain"),
    "code": Place(sent="code"),
    "mail": Place(sent="code"),
    "refresh": Place(sent="refresh"),
}


class Case(NamedTuple):
    point: Point
    action: str
    who: Who

    @property
    def setting(self) -> dict[str, str]:
        return {"ENGINE_FAILPOINTS": f"{self.point}={self.action}"}

    def __str__(self) -> str:
        return f"{self.who} {self.point}={self.action}"


def cases() -> Iterator[Case]:
    """All of them."""
    for point, place in PLACES.items():
        for action in place.actions:
            for who in place.who:
                yield Case(point, action, who)


def batches(given: Iterable[Case]) -> list[list[Case]]:
    """The cases in as few trials as show what each of them does: one of a node and one of a worker side by side; the
    same of two nodes at once.
    """
    found: list[list[Case]] = []
    for case in given:
        fitting = next((batch for batch in found if all(_side_by_side(case, other) for other in batch)), None)
        if fitting is None:
            found.append([case])
        else:
            fitting.append(case)
    return found


def _side_by_side(one: Case, other: Case) -> bool:
    kinds = one.who[:-1], other.who[:-1]
    return kinds[0] != kinds[1] or (one.who != other.who and one[:2] == other[:2])


class Points:
    """Breaks processes at their points, one after the other in each process, all processes side by side."""

    def __init__(self, given: Sequence[Case]) -> None:
        lines = groupby(sorted(given, key=lambda case: case.who), lambda case: case.who)
        self._lines = [list(line) for _, line in lines]
        self._since: dict[str, int] = {}

    @property
    def first(self) -> dict[str, dict[str, str]]:
        """What each process must have in its environment when it is started."""
        return {line[0].who: line[0].setting for line in self._lines}

    async def arm(self, stack: Stack) -> None:
        """Start them anew with it, before anybody plays."""
        for line in self._lines:
            process = _of(stack, line[0])
            process.kill()
            self._listen_to(process)
            process.start(line[0].setting)
        await stack.ready()

    async def __call__(self, nemesis: Nemesis) -> None:
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._one_after_the_other(nemesis, line))

    async def _one_after_the_other(self, nemesis: Nemesis, line: list[Case]) -> None:
        for case, after in zip(line, [*line[1:], None], strict=True):
            process = _of(nemesis.stack, case)
            await self._until_passed(nemesis, case, process)
            nemesis.done.append(str(case))
            if case.action == "kill" or after:
                self._listen_to(process)
                await nemesis.again(process, environ=after.setting if after else None)

    async def _until_passed(self, nemesis: Nemesis, case: Case, process: Process) -> None:
        passed = asyncio.Event()
        provoking = asyncio.create_task(PROVOKES[PLACES[case.point].sent](nemesis, process, passed))

        def is_passed() -> bool:
            said = b"failpoint" in process.log.read_bytes()[self._since.get(process.name, 0) :]
            return said and (case.action != "kill" or not process.running)

        try:
            await until(is_passed, PASSED_SECONDS)
            passed.set()
            await provoking
        except TimeoutError:
            raise AssertionError(f"{case} was never passed\n{nemesis.stack.logs()}") from None
        finally:
            await cancelled([provoking])

    def _listen_to(self, process: Process) -> None:
        self._since[process.name] = process.log.stat().st_size


def _of(stack: Stack, case: Case) -> Process:
    return next(process for process in (*stack.nodes, *stack.workers) if process.name == case.who)


# --- what makes a process pass a point, where playing does not ---


async def _play(nemesis: Nemesis, process: Process, passed: asyncio.Event) -> None:
    return


async def _flush(nemesis: Nemesis, process: Process, passed: asyncio.Event) -> None:
    while not passed.is_set():
        await time_passes(AGAIN_SECONDS)
        async with Redis.from_url(nemesis.stack.redis_url) as redis:
            await redis.flushdb()


async def _drain(nemesis: Nemesis, process: Process, passed: asyncio.Event) -> None:
    """While there are sockets on it: without any it ends at once."""
    async with http_client() as http:

        async def has_sockets() -> bool:
            told = (await http.get(f"{_url(process)}/metrics")).text
            return any(line.startswith(SOCKETS_OPEN) and float(line.split()[1]) >= 1 for line in told.splitlines())

        await until(has_sockets, PASSED_SECONDS)
    process.signal(SIGTERM)


async def _ask_for_code(nemesis: Nemesis, process: Process, passed: asyncio.Event) -> None:
    """A code may be lost; then asking again, of any node, gives another, once the time between two is over."""
    async with http_client() as browser:
        email = f"somebody{nemesis.chance.randrange(10**9)}@example.com"
        with suppress(httpx2.HTTPError):
            await browser.post(f"{_url(process)}/v1/auth/otp", json={"email": email})
        await passed.wait()
        said = await browser.post(f"{nemesis.stack.nodes[1].url}/v1/auth/otp", json={"email": email})
        assert (said.status_code, said.json()["code"]) == (429, "too_soon"), said.text
        assert int(said.headers["retry-after"]) <= RESEND_SECONDS
        await _sign_in(browser, nemesis.stack.nodes[1].url, f"other.{email}")


async def _refresh(nemesis: Nemesis, process: Process, passed: asyncio.Event) -> None:
    """The answer is lost: the same browser asks another node with the same token, and stays signed in."""
    other = nemesis.stack.nodes[1].url
    async with http_client() as browser:
        token = (await _sign_in(browser, other, f"r{nemesis.chance.randrange(10**9)}@example.com"))["refresh_token"]
        body = {"refresh_token": token}
        lost: httpx2.Response | None = None
        with suppress(httpx2.HTTPError):
            lost = await browser.post(f"{_url(process)}/v1/auth/refresh", json=body)
        assert lost is None or lost.status_code == 503, lost.text
        await passed.wait()
        again = await browser.post(f"{other}/v1/auth/refresh", json=body)
        assert again.status_code == 200, again.text
        access = again.json()["access_token"]
        mine = await browser.get(f"{other}/v1/me", headers={"authorization": f"Bearer {access}"})
        assert mine.status_code == 200, mine.text


async def _sign_in(browser: httpx2.AsyncClient, url: str, email: str) -> dict[str, str]:
    """By a code from the development mailbox, in this browser."""
    sent = await browser.post(f"{url}/v1/auth/otp", json={"email": email})
    assert sent.status_code == 202, sent.text

    async def code() -> str | None:
        mails = (await browser.get(f"{url}/dev/mailbox.json")).json()
        return next(
            (found.group() for mail in mails if mail["to"] == email and (found := CODE.search(mail["subject"]))), None
        )

    body = {"challenge_id": sent.json()["challenge_id"], "code": await until(code), "refresh_in": "body"}
    signed_in = await browser.post(f"{url}/v1/auth/otp/verify", json=body)
    assert signed_in.status_code == 200, signed_in.text
    tokens: dict[str, str] = signed_in.json()
    return tokens


def _url(process: Process) -> str:
    assert isinstance(process, Node)
    return process.url


PROVOKES: dict[str, Callable[[Nemesis, Process, asyncio.Event], Coroutine[Any, Any, None]]] = {
    "": _play, "flush": _flush, "drain": _drain, "code": _ask_for_code, "refresh": _refresh,
}  # fmt: skip
