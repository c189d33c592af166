"""Rows 30 and 42 over real HTTP, to two nodes: two hundred of one request at once have one effect; and nobody learns
from asking for a code whose address it is (at length: `./run attacks --requests 500`)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.attacks.enumeration import ks_test, measure
from tests.attacks.site import Site, Visitor
from tests.attacks.volley import Hit, Shot, volley

MANY = 200
QUESTION = "lru-cache-ttl"
EACH = 40
ROUNDS = 3
"""A fair test of three pairs at 1 % is wrong once in 33 rounds; three in a row once in 40,000 runs."""


BUSY = (503, "unavailable")
"""What a machine that is busy with other tests may say to some, and to be asked again."""


def told(hits: Sequence[Hit]) -> Counter[tuple[int, str]]:
    return Counter((hit.status, hit.code) for hit in hits)


def cookies(visitor: Visitor) -> str:
    return "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())


async def test_30_of_200_verifies_of_a_right_code_one_signs_in(site: Site) -> None:
    visitor = site.visitor()
    challenge, code = await visitor.ask_code("verifies@example.com")
    body, cookie = {"challenge_id": challenge, "code": code}, cookies(visitor)
    # From as many networks, so that it is no limit on guessing that stops them.
    from_everywhere = [{"cookie": cookie, "x-forwarded-for": f"198.18.{n}.1"} for n in range(MANY)]
    hits = await volley(
        Shot(site.port(n), "POST", "/v1/auth/otp/verify", body, headers) for n, headers in enumerate(from_everywhere)
    )
    assert told(hits)[200, ""] == 1
    assert set(told(hits)) <= {(200, ""), (401, "code_over"), BUSY}
    sql = "SELECT l.id FROM user_auth_sessions l JOIN users u ON u.id = l.user_id WHERE u.email_key = $1"
    assert len(await site.nodes[0].fetch(sql, "verifies@example.com")) == 1


async def test_30_of_200_refreshes_by_one_client_there_is_one_successor(site: Site) -> None:
    visitor = site.visitor()
    body = {"refresh_token": (await visitor.sign_in("refreshes@example.com"))["refresh_token"]}
    headers = {"cookie": cookies(visitor), "user-agent": visitor.http.headers["user-agent"]}
    hits = await volley(Shot(site.port(n), "POST", "/v1/auth/refresh", body, headers) for n in range(MANY))
    assert set(told(hits)) <= {(200, ""), BUSY}
    successors = {hit.body["refresh_token"] for hit in hits if hit.status == 200}
    assert len(successors) == 1
    after = await visitor.call("POST", "/v1/auth/refresh", {"refresh_token": successors.pop()})
    assert after.status_code == 200  # the login stands


async def test_30_of_refreshes_by_owner_and_thief_at_once_neither_keeps_the_login(site: Site) -> None:
    owner = site.visitor()
    signed_in = await owner.sign_in("stolen@example.com")
    first = {"refresh_token": signed_in["refresh_token"]}
    agents = [{"user-agent": "owner"}, {"user-agent": "thief"}]
    hits = await volley(Shot(site.port(n // 2), "POST", "/v1/auth/refresh", first, agents[n % 2]) for n in range(40))
    assert set(told(hits)) <= {(200, ""), (401, "signed_out"), BUSY}
    given = {hit.body["refresh_token"] for hit in hits if hit.status == 200}
    assert len(given) <= 1
    for token in (*given, first["refresh_token"]):
        again = [Shot(site.port(0), "POST", "/v1/auth/refresh", {"refresh_token": token}, agent) for agent in agents]
        assert told(await volley(again)) == {(401, "signed_out"): 2}
    assert (await owner.call("GET", "/v1/me", node=1)).status_code == 401


async def test_30_of_200_starts_there_is_one_interview(site: Site) -> None:
    visitor = site.visitor()
    headers = {"authorization": f"Bearer {(await visitor.sign_in('starts@example.com'))['access_token']}"}
    path = f"/v1/questions/{QUESTION}/interviews"
    hits = await volley(Shot(site.port(n), "POST", path, None, headers) for n in range(MANY))
    assert told(hits)[201, ""] == 1
    assert set(told(hits)) <= {(201, ""), (200, ""), (429, "too_many"), BUSY}
    assert len({hit.body["id"] for hit in hits if hit.status < 300}) == 1
    assert len((await visitor.call("GET", "/v1/interviews")).json()["items"]) == 1


async def test_42_known_unknown_and_blocked_addresses_get_the_same_bytes_in_the_same_time(site: Site) -> None:
    settings = site.nodes[0].settings
    for seed in range(ROUNDS):
        await site.forget_limits()
        measured = await measure(settings.database_url, settings.port, EACH, seed)
        assert not measured.told_apart_by_bytes(), measured.shapes
        if not measured.told_apart_by_time():
            break
    else:
        pytest.fail("\n".join(measured.lines()))


def test_42_the_test_of_times_sees_what_there_is_and_nothing_else() -> None:
    chance = random.Random(42)

    def times(more_ms: float = 0) -> list[float]:
        return [chance.lognormvariate(1, 0.3) + more_ms for _ in range(500)]

    p = [ks_test(times(), times()) for _ in range(100)]
    assert sum(one < 0.1 for one in p) in range(1, 25)
    assert ks_test(times(), times(0.5)) < 0.001
