"""Row 73: what an investigation asks for is in the log, once, with who, what and when; and nothing personal is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from engine import telemetry
from engine.core.pack import parse_pack
from engine.record.catalog import load_packs
from engine.web.parts import Parts
from engine.web.routes_interviews import STARTS
from engine.wiring import PACKS
from tests.clock import HandClock
from tests.web.test_google_sign_in import People, people

__all__ = ["people"]

AUDITED = {
    "signed_in", "sign_in_failed", "sign_in_limited", "code_withheld", "google_linked", "refresh_token_reused",
    "logged_out", "logins_revoked", "access_denied", "request_limited", "account_deleted",
}  # fmt: skip
ADDRESS, GOOGLE_ADDRESS = "audited-person@example.com", "ada@gmail.com"
SLUG = "lru-cache-ttl"


class Scene:
    """Two people with an interview, and what is done to them. Each act is to leave the events that ACTS says."""

    def __init__(self, people: People, clock: HandClock) -> None:
        self.ada, self.eve = people
        self.clock = clock
        self.personal = [ADDRESS, GOOGLE_ADDRESS, "127.0.0.1"]
        self.interview = self.refresh = self.challenge = self.code = ""

    async def sign_in(self) -> None:
        self.challenge, self.code = await self.ada.ask_code(ADDRESS)
        body = {"challenge_id": self.challenge, "code": self.code, "refresh_in": "body"}
        signed_in = (await self.ada.call("POST", "/v1/auth/otp/verify", body)).json()
        self.ada.use(signed_in["access_token"])
        self.refresh = signed_in["refresh_token"]
        self.personal += [self.code, self.refresh, signed_in["access_token"], self.ada.http.cookies["otp_browser"]]

    async def try_again(self) -> None:
        body = {"challenge_id": self.challenge, "code": self.code}
        assert (await self.ada.call("POST", "/v1/auth/otp/verify", body)).status_code == 401

    async def ask_twice(self) -> None:
        answers = [await self.ada.call("POST", "/v1/auth/otp", {"email": ADDRESS}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 429]

    async def sign_in_with_google(self) -> None:
        status, signed_in = await self.eve.with_google()
        assert status == 200
        self.eve.use(signed_in["access_token"])

    async def show_a_bad_id_token(self) -> None:
        assert (await self.eve.with_google(aud="other"))[0] == 401

    async def ask_for_anothers_interview(self) -> None:
        started = await self.ada.call("POST", f"/v1/questions/{SLUG}/interviews")
        self.interview = started.json()["id"]
        assert (await self.eve.call("GET", f"/v1/interviews/{self.interview}")).status_code == 404

    async def come_from_another_origin(self) -> None:
        headers = {"origin": "https://evil.example"}
        assert (await self.ada.call("POST", "/v1/auth/refresh", {}, headers=headers)).status_code == 403

    async def start_and_start(self) -> None:
        answers = [await self.eve.call("POST", "/v1/questions/none/interviews") for _ in range(STARTS.count + 1)]
        assert [answer.status_code for answer in answers] == [404] * STARTS.count + [429]

    async def reuse_a_refresh_token(self) -> None:
        body = {"refresh_token": self.refresh}
        assert (await self.ada.call("POST", "/v1/auth/refresh", body)).status_code == 200
        self.clock.move(seconds=11)
        assert (await self.ada.call("POST", "/v1/auth/refresh", body)).status_code == 401

    async def link_google(self) -> None:
        await self.ada.forget_limits()
        await self.ada.sign_in(ADDRESS)
        assert (await self.eve.with_google(email=ADDRESS, hd="example.com", sub="2"))[0] == 200

    async def log_out(self) -> None:
        del self.eve.http.headers["authorization"]  # by the cookie alone, which is Ada's since it was linked
        assert (await self.eve.call("POST", "/v1/auth/logout")).status_code == 204

    async def log_out_everywhere(self) -> None:
        for one in (self.eve, self.ada):
            await one.forget_limits()
            await one.sign_in(ADDRESS)
        assert (await self.ada.call("POST", "/v1/auth/logout", {"all": True})).status_code == 204


ACTS: dict[str, tuple[Callable[[Scene], Awaitable[None]], list[dict[str, Any]]]] = {
    "73 sign-in": (Scene.sign_in, [{"event": "signed_in", "by": "code", "user": "ada", "login": True}]),
    "73 failure": (Scene.try_again, [{"event": "sign_in_failed", "by": "code", "reason": "over", "challenge": True}]),
    "73 too soon": (Scene.ask_twice, [{"event": "sign_in_limited", "kind": "code:again"}]),
    "73 Google": (Scene.sign_in_with_google, [{"event": "google_linked", "user": "eve"},
                                              {"event": "signed_in", "by": "google", "user": "eve"}]),
    "73 failure with Google": (Scene.show_a_bad_id_token,
                               [{"event": "sign_in_failed", "by": "google", "reason": True}]),
    "73 denial": (Scene.ask_for_anothers_interview,
                  [{"event": "access_denied", "reason": "not theirs", "user": "eve", "interview": True}]),
    "73 denial of an origin": (Scene.come_from_another_origin, [{"event": "access_denied", "reason": "origin"}]),
    "73 limit": (Scene.start_and_start, [{"event": "request_limited", "kind": STARTS.name, "user": "eve"}]),
    "73 reuse": (Scene.reuse_a_refresh_token, [{"event": "refresh_token_reused", "user": "ada", "login": True}]),
    "73 revocation": (Scene.link_google, [
        {"event": "signed_in", "by": "code", "user": "ada"}, {"event": "google_linked", "user": "ada"},
        {"event": "logins_revoked", "reason": "google_linked", "user": "ada", "count": 1},
        {"event": "signed_in", "by": "google", "user": "ada"},
        {"event": "logged_out", "user": "eve"}]),  # her browser is Ada's now
    "73 log-out": (Scene.log_out, [{"event": "logged_out", "user": "ada", "login": True}]),
    "73 log-out everywhere": (Scene.log_out_everywhere, [
        {"event": "signed_in", "user": "ada"}, {"event": "signed_in", "user": "ada"},
        {"event": "logins_revoked", "reason": "logged_out_everywhere", "user": "ada", "count": 1},
        {"event": "logged_out", "user": "ada"}]),
}  # fmt: skip


@pytest.fixture
async def scene(people: People, parts: Parts, clock: HandClock) -> AsyncIterator[Scene]:
    await load_packs(parts.engine, [parse_pack((PACKS / f"{SLUG}.yaml").read_bytes())])
    telemetry.configure("json", level=0)
    yield Scene(people, clock)
    telemetry.configure("json")


async def test_73_each_act_leaves_its_line_and_nothing_personal(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    users: dict[str, str] = {}
    capsys.readouterr()
    for act, (do, expected) in ACTS.items():
        await do(scene)
        written = capsys.readouterr().err
        assert not [one for one in scene.personal if one in written], act
        lines = [line for line in map(json.loads, written.splitlines()) if line["event"] in AUDITED]
        assert [line["event"] for line in lines] == [wanted["event"] for wanted in expected], act
        for line, wanted in zip(lines, expected, strict=True):
            who = wanted.get("user")
            assert line.get("user") == (users.setdefault(who, line["user"]) if who else None), act
            for field, value in wanted.items():
                assert field == "user" or (line[field] if value is True else line[field] == value), (act, field)
            assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)).total_seconds() < 60
            assert line["timestamp"].endswith("Z") and len(line["request_id"]) == 32
    assert len(set(users.values())) == 2
