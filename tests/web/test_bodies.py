"""Bad requests get a clear answer and change nothing. Rows by their numbers in the security matrix."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

from engine.web import bodies
from tests.web.conftest import Browser

JSON = "application/json"
OTP = "/v1/auth/otp"
LONE = '{"email": "\\ud800@example.com"}'

CHALLENGES = sa.text("SELECT count(*) FROM email_otps")

BAD_BODIES: list[tuple[str, bytes, str, int, str]] = [
    ("20 empty", b"", JSON, 400, "bad_json"),
    ("20 not JSON", b"email=ada", JSON, 400, "bad_json"),
    ("20 an array", b"[]", JSON, 422, "bad_body"),
    ("20 a BOM", b'\xef\xbb\xbf{"email":"a@example.com"}', JSON, 400, "bad_json"),
    ("20 trailing bytes", b'{"email":"a@example.com"} x', JSON, 400, "bad_json"),
    ("20 not UTF-8", b'{"email":"\xff"}', JSON, 400, "bad_json"),
    ("21 deep", b"[" * 60_000, JSON, 400, "bad_json"),
    ("21 deep but closed", b'{"email":' + b"[" * 50 + b"]" * 50 + b"}", JSON, 400, "bad_json"),
    ("21 a very long number", b'{"email":' + b"1" * 5_000 + b"}", JSON, 400, "bad_json"),
    ("22 NaN", b'{"email":NaN}', JSON, 400, "bad_json"),
    ("22 Infinity", b'{"email":-Infinity}', JSON, 400, "bad_json"),
    ("23 a key twice", b'{"email":"a@example.com","email":"b@example.com"}', JSON, 400, "bad_json"),
    ("24 NUL", b'{"email":"a\\u0000@example.com"}', JSON, 422, "bad_text"),
    ("24 a lone surrogate", LONE.encode(), JSON, 422, "bad_text"),
    ("24 NUL in a key nobody reads", b'{"email":"a@example.com","x\\u0000":1}', JSON, 422, "bad_text"),
    ("44 a line break", b'{"email":"a@example.com\\r\\nBcc: b@example.com"}', JSON, 422, "bad_address"),
    ("44 no address", b'{"email":"ada"}', JSON, 422, "bad_address"),
    ("44 320 characters", json.dumps({"email": "a" * 308 + "@example.com"}).encode(), JSON, 422, "bad_body"),
    ("59 no content type", b'{"email":"a@example.com"}', "", 415, "unsupported_media_type"),
    ("59 a form", b"email=a%40example.com", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ("59 another charset", b"{}", "application/json; charset=utf-16", 415, "unsupported_media_type"),
    ("59 text that is JSON", b'{"email":"a@example.com"}', "text/plain", 415, "unsupported_media_type"),
    ("59 65 KiB", b'{"email":"' + b"a" * 66_000 + b'"}', JSON, 413, "too_large"),
    ("62 a number for text", b'{"email":5}', JSON, 422, "bad_body"),
    ("62 nothing for text", b'{"email":null}', JSON, 422, "bad_body"),
    ("62 a list for text", b'{"email":["a@example.com"]}', JSON, 422, "bad_body"),
    ("62 left out", b"{}", JSON, 422, "bad_body"),
]


def check_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """What every error has in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["title"].endswith(".")
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES]
)
async def test_a_bad_body_is_refused(shared: Browser, body: bytes, content_type: str, status: int, code: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    if body == b"":
        body, status, code = b" ", 400, "bad_json"
    answer = await shared.call("POST", OTP, content=body, headers=headers)
    check_problem(answer, status, code)
    async with shared.parts.engine.connect() as connection:
        assert (await connection.execute(CHALLENGES)).scalar_one() == 1  # the one it signed in with


async def test_an_empty_body_where_one_is_needed_is_no_json(shared: Browser) -> None:
    check_problem(await shared.call("POST", OTP, headers={"content-type": JSON}), 400, "bad_json")


async def test_59_a_body_that_grows_past_the_limit_is_cut_off(shared: Browser) -> None:
    async def without_end() -> Any:
        for _ in range(100):
            yield b" " * 4_096

    check_problem(
        await shared.call("POST", OTP, content=without_end(), headers={"content-type": JSON}), 413, "too_large"
    )


async def test_a_fault_is_located(shared: Browser) -> None:
    answer = await shared.call("POST", "/v1/auth/otp/verify", {"challenge_id": "x", "code": "1"})
    assert check_problem(answer, 422, "bad_body")["errors"] == [{"at": "$.challenge_id", "message": "Invalid UUID"}]


async def test_25_fields_nobody_asked_for_are_ignored(shared: Browser) -> None:
    body = {"name": "Ada", "id": "x", "email": "other@example.com", "score": 100, "__proto__": {"a": 1}}
    changed = (await shared.call("PATCH", "/v1/me", body)).json()
    assert changed["name"] == "Ada"
    assert changed["email"] == "ada@example.com"


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "GET"])
async def test_59_a_wrong_method_is_told_the_right_one(shared: Browser, method: str) -> None:
    answer = await shared.call(method, OTP)
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_59_a_path_with_many_methods_names_them_all(shared: Browser) -> None:
    answer = await shared.call("PUT", "/v1/questions")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    answer = await shared.call("PUT", "/v1/me")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}


@pytest.mark.parametrize(
    "path",
    """/v1/nothing /v1/ /v1/me/ /nothing /v1/questions/%00 /v1/questions/Not-A-Slug
    /v1/questions/no-such-question""".split(),
)
async def test_an_unknown_path_is_not_found(shared: Browser, path: str) -> None:
    check_problem(await shared.call("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic YTpi", "signed_out"),
        ("Bearer", "signed_out"),
        ("Bearer ", "signed_out"),
        ("Bearer x", "signed_out"),
        ("Bearer a.b.c", "signed_out"),
        ("Bearer " + "x" * 8_000, "signed_out"),
        ("", "signed_out"),
    ],
)
async def test_52_whoever_shows_no_good_token_is_told_to_sign_in(shared: Browser, header: str, code: str) -> None:
    for path in ("/v1/me", "/v1/questions"):
        answer = await shared.call("GET", path, headers={"authorization": header})
        check_problem(answer, 401, code)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Ada"}, 200),
        ({"name": "  Ada   Lovelace "}, 200),
        ({"name": ""}, 200),
        ({}, 200),
        ({"name": "a" * 101}, 422),
        ({"name": None}, 422),
        ({"name": "a\x07b"}, 422),
        ({"name": "a\u202eb"}, 422),
        ({"name": "علی\u200cرضا"}, 200),
        ({"avatar_url": "https://example.com/a b"}, 422),
        ({"avatar_url": "https://example.com/\n"}, 422),
        ({"avatar_url": "https://example.com/a.png"}, 200),
        ({"avatar_url": None}, 200),
        ({"avatar_url": "http://example.com/a.png"}, 422),
        ({"avatar_url": "javascript:alert(1)"}, 422),
        ({"avatar_url": "data:image/png;base64,AA"}, 422),
        ({"avatar_url": "https://" + "a" * 500}, 422),
        ({"avatar_url": "https://[::1"}, 422),
        ({"avatar_url": "https:///a.png"}, 422),
        ({"avatar_url": "https://[::1]/a.png"}, 200),
    ],
)
async def test_33_a_profile_takes_what_can_be_shown(shared: Browser, body: dict[str, Any], status: int) -> None:
    answer = await shared.call("PATCH", "/v1/me", body)
    assert answer.status_code == status
    if status == 422:
        check_problem(answer, 422, "bad_body")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        "HTTP://127.0.0.1:0",
        "https://127.0.0.1:0",
        "http://127.0.0.1:0.",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:0.evil.example",
        "http://127.0.0.1:0, http://127.0.0.1:0",
        "data:",
        "",
    ],
)
async def test_1_a_page_of_another_origin_changes_nothing(shared: Browser, origin: str) -> None:
    answer = await shared.call("POST", OTP, {"email": "ada@example.com"}, headers={"origin": origin})
    check_problem(answer, 403, "origin_refused")


async def test_9_a_body_that_does_not_arrive_is_not_waited_for(
    shared: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    async def stuck() -> Any:
        yield b'{"email":'
        await asyncio.Event().wait()

    answer = await shared.call("POST", OTP, content=stuck(), headers={"content-type": JSON})
    check_problem(answer, 408, "timeout")


async def test_10_errors_say_who_may_try_again_and_when(shared: Browser) -> None:
    for _ in range(2):
        answer = await shared.call("POST", OTP, {"email": "again@example.com"})
    assert answer.headers["retry-after"] == "60"
    check_problem(answer, 429, "too_soon")


QUERIES = [
    *"limit=0 limit=-1 limit=1000000000 limit=1e2 limit=1.0 limit=0x10 limit= limit=%201 limit=true".split(),
    *"limit=99999999999999999999999999 limit=20&limit=20 limit[]=20&limit=x sort=title&sort=-title".split(),
    *"sort[]=title&sort= type=LLD&type=HLD type=lld type= difficulty=impossible status=draft status=retired".split(),
    *"access=all mine=theirs company= cursor= cursor=AAAA q=%00".split(),
    *(f"q={'a' * 101}", f"company={'a' * 101}", f"cursor={'a' * 1_001}"),
]


@pytest.mark.parametrize("query", QUERIES)
async def test_62_a_query_that_does_not_fit_is_refused(shared: Browser, query: str) -> None:
    answer = await shared.call("GET", f"/v1/questions?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("bad_query", "bad_cursor", "bad_text")


@pytest.mark.parametrize(
    "query", ["cursor=-1", "cursor=1e9", "cursor=99999999999999999", "limit=101", "cursor=1&cursor=2"]
)
async def test_62_neither_does_one_of_the_history(shared: Browser, query: str) -> None:
    answer = await shared.call("GET", f"/v1/interviews?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_query")


@pytest.mark.parametrize("cursor", ["0", "9999999999999999"])
async def test_62_a_history_before_all_time_or_after_it_is_a_history(shared: Browser, cursor: str) -> None:
    assert (await shared.call("GET", f"/v1/interviews?cursor={cursor}-{'0' * 32}")).status_code == 200


HUGE = ["9" * 5_000, "A" * 81, *"-1 0 1.5 null ../../etc/passwd %2e%2e%2f a--b -a {id} [object%20Object]".split()]


@pytest.mark.parametrize("name", HUGE)
async def test_62_an_id_that_can_be_none_is_not_found(shared: Browser, name: str) -> None:
    for path in (f"/v1/interviews/{name}", f"/v1/interviews/{name}/evaluation", f"/v1/questions/{name}"):
        answer = await shared.call("GET", path)
        assert answer.status_code == 404, path
