"""Row 30: two hundred of one request at once, to two nodes, have one effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.attacks.site import Site, Visitor
from tests.attacks.volley import Hit, Shot, volley

MANY = 200
QUESTION = "lru-cache-ttl"


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
