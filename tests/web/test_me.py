"""One's own data, over HTTP and sockets: all of it in one file, or gone for good (77), at once and everywhere."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from engine import wiring
from engine.core.draft import checksum
from engine.embedded import Embedded
from engine.identity.leaving import delete_account
from engine.judging.evaluation import evaluate
from engine.judging.judge_offline import OfflineJudge
from engine.judging.keeping import Bench
from engine.live import logins
from engine.record import deletion
from engine.record import export as exporting
from engine.record.events import read_events
from engine.record.export import Export, export
from engine.settings import Settings
from engine.telemetry import make_metrics
from engine.web import routes_me
from protocol.words import FIELDS
from tests.judging.stage import GARAGE, STRONG
from tests.planted import places
from tests.until import until
from tests.web.conftest import Browser
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import Closed, RawSocket

FORBIDDEN = 4505
SECONDS_MAX = 2.0


@pytest.fixture(scope="module")
async def settings(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    async with fresh_settings(servers, template, tmp_path_factory.mktemp("me")) as settings:
        yield settings


@pytest.fixture(scope="module")
async def node(settings: Settings) -> AsyncIterator[Node]:
    async with listening(settings) as node:
        yield node


@pytest.fixture(scope="module")
async def other(settings: Settings) -> AsyncIterator[Node]:
    async with listening(settings) as node:
        yield node


async def address(person: Person, **profile: str) -> str:
    """The person's address, after their profile was changed."""
    answer = await person.http.patch("/v1/me", json=profile)
    assert answer.status_code == 200, answer.text
    email: str = answer.json()["email"]
    return email


async def leave(person: Person, email: str) -> tuple[int, Any]:
    answer = await person.http.request("DELETE", "/v1/me", json={"email": email})
    return answer.status_code, answer.json() if answer.content else None


# --- leaving -----------------------------------------------------------------------------------------------


async def test_77_who_leaves_is_gone_from_both_stores_and_every_node_within_two_seconds(
    node: Node, other: Node
) -> None:
    ada, bob, word = await node.person(), await node.person(), "canary77web"
    email = await address(ada, name=word, avatar_url=f"https://x.example/{word}")
    interview, bobs = await ada.start(), await bob.join(await bob.start())
    writer = await ada.join(interview)
    watcher = await Person(other, ada.http, ada.access).join(interview, write=False)
    left_over = await ada.own_ticket(interview)
    stores = (node.settings.database_url, node.parts.redis)
    typing = asyncio.create_task(types(writer, word))
    await until(lambda: any(event["t"] == "draft.saved" for event in writer.events))

    started = time.monotonic()
    assert await leave(ada, email) == (204, None)
    assert [(await typing).code, (await watcher.end()).code] == [FORBIDDEN, FORBIDDEN]
    assert time.monotonic() - started < SECONDS_MAX

    assert await places([word, email], *stores) == []
    where = [place for place in await places([str(ada.access.user), interview], *stores)]
    assert all(place.startswith(("redis:{limits}:", "redis:ticket:")) for place in where), where
    for one in (node, other):
        for method, path in (("DELETE", "/v1/me"), ("GET", "/v1/me/export"), ("GET", f"/v1/interviews/{interview}")):
            answer = await ada.http.request(
                method, one.url + path, json={"email": email} if method == "DELETE" else None
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "signed_out")
    refused = await (await other.connect()).upgrade("sdi.v1.json", f"ticket.{left_over}")
    assert refused.status == 401
    await bobs.alive()


async def types(socket: RawSocket, word: str) -> Closed:
    """Save as fast as it goes, until the socket is closed."""
    rev = 0
    try:
        while True:
            saved = {"base": rev, "changes": [{"field": "functional_req", "text": f"{word} {rev}"}]}
            answer = await socket.command("draft.save", saved)
            rev = answer.get("rev", rev)
    except Closed as closed:
        return closed


@pytest.mark.parametrize(
    ("typed", "status"),
    [
        ({}, 422),
        ({"email": ""}, 422),
        ({"email": "somebody@else.example"}, 422),
        ({"email": ["OWN"]}, 422),
        ({"email": "OWNX"}, 422),
        ({"email": "x" * 400}, 422),
        (None, 422),
        ({"email": " OWN "}, 204),
        ({"email": "OWN_UPPER"}, 204),
    ],
)
async def test_77_nobody_leaves_by_a_slip(node: Node, typed: Any, status: int) -> None:
    person = await node.person()
    email = await address(person, name="Ada")
    text = json.dumps(typed).replace("OWN_UPPER", email.upper()).replace("OWN", email)
    answer = await person.http.request("DELETE", "/v1/me", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert (await person.http.get("/v1/me")).status_code == (401 if status == 204 else 200)


async def test_77_of_many_who_delete_at_once_one_does_and_the_rest_are_signed_out(node: Node) -> None:
    person = await node.person()
    email = await address(person, name="Ada")
    answers = await asyncio.gather(*(leave(person, email) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [204, *[401] * 7]


async def test_77_the_browser_is_signed_out_its_mail_is_gone_and_the_address_begins_anew(browser: Browser) -> None:
    first = await browser.sign_in("ada@example.com")
    answer = await browser.call("DELETE", "/v1/me", {"email": "ada@example.com"})
    assert answer.status_code == 204
    assert 'refresh="";' in answer.headers["set-cookie"]
    assert (await browser.call("GET", "/dev/mailbox.json")).json() == []
    del browser.http.headers["authorization"]
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 401
    await browser.forget_limits()
    second = await browser.sign_in("ada@example.com")
    assert second["user"]["id"] != first["user"]["id"]
    assert (await browser.call("GET", "/v1/interviews")).json()["items"] == []


async def test_77_redis_away_means_that_nothing_was_deleted(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    await browser.sign_in("grace@example.com")
    with monkeypatch.context() as broken:
        broken.setattr(logins, "end", away)
        assert (await browser.call("DELETE", "/v1/me", {"email": "grace@example.com"})).status_code == 503
    assert (await browser.call("GET", "/v1/me")).status_code == 200


async def test_77_a_request_that_meets_the_deletion_is_told_plainly(node: Node) -> None:
    """It has passed the guards; then the user is gone."""
    person, engine = await node.person(), node.parts.engine
    interview = await person.start()
    fence = (await person.http.post(f"/v1/interviews/{interview}/writer", json={})).json()["fence"]
    async with engine.begin() as connection:
        assert await deletion.delete_user(connection, person.access.user)
    said = {"t": "clarify.ask", "id": "ask-00001", "d": {"text": "canarylate"}, "fence": fence}
    for method, path, body, status in (
        ("POST", "/v1/questions/parking-garage/interviews", None, 401),
        ("GET", "/v1/me", None, 401),
        ("GET", "/v1/me/export", None, 401),
        ("DELETE", "/v1/me", {"email": "any@example.com"}, 401),
        ("POST", f"/v1/interviews/{interview}/commands", said, 404),
        ("GET", f"/v1/interviews/{interview}", None, 404),
    ):
        answer = await person.http.request(method, path, json=body)
        assert answer.status_code == status, (path, answer.text)
    assert await places(["canarylate"], node.settings.database_url, node.parts.redis) == []


async def test_77_those_who_run_it_delete_by_the_address(node: Node) -> None:
    person = await node.person()
    email = await address(person, name="Ada")
    for typed, deleted in (
        ("no address", False),
        ("nobody@else.example", False),
        (email.upper(), True),
        (email, False),
    ):
        assert await wiring.delete_account(node.settings, typed) is deleted
    assert (await person.http.get("/v1/me")).status_code == 401


# --- taking it along ---------------------------------------------------------------------------------------


async def plays(person: Person, word: str) -> str:
    """A whole interview on the garage that says `word`, judged offline."""
    id = await person.start(GARAGE.id)
    conductor, engine = person.node.parts.conductor, person.node.parts.engine
    fence = (await person.http.post(f"/v1/interviews/{id}/writer", json={})).json()["fence"]
    texts = {**STRONG, "extra": f"{STRONG['extra']} {word}"}
    changes = [{"field": field, "text": text} for field, text in texts.items()]
    sum = checksum({field: texts.get(field, "") for field in FIELDS})
    for t, d in (
        ("clarify.ask", {"text": f"How many {word} floors are there?"}),
        ("phase.proceed", {}),
        ("draft.save", {"base": 0, "changes": changes}),
        ("solution.submit", {"rev": 1, "checksum": sum}),
    ):
        body = {"t": t, "id": f"{t.replace('.', '-')}-0001", "d": d, "fence": fence}
        answer = await person.http.post(f"/v1/interviews/{id}/commands", json=body)
        assert answer.status_code == 200, answer.text
    bench = Bench(
        engine=engine, judge=OfflineJudge(), announce=conductor.announce, narrate=conductor.narrate,
        metrics=make_metrics(), owner="test", lease_seconds=5, job_seconds=5, calls_parallel=2,
    )  # fmt: skip
    assert await evaluate(bench, UUID(id), 1) == "done"
    return id


async def test_all_of_ones_own_and_nothing_of_others_is_in_the_file(node: Node) -> None:
    ada, bob = await node.person(), await node.person()
    mine, theirs = await address(ada, name="canaryada"), await address(bob, name="canarybob")
    done, his = await plays(ada, "canaryada"), await plays(bob, "canarybob")
    running = await ada.start()

    answer = await ada.http.get("/v1/me/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(r'attachment; filename="interview-data-[0-9-]{10}.json"', answer.headers["content-disposition"])
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert not [word for word in ("canarybob", theirs, his, str(bob.access.user)) if word in answer.text]
    assert "hash" not in answer.text.replace("pack_hash", "").replace("rubric_hash", "").replace("prompt_hash", "")

    data = msgspec.json.decode(answer.content, type=Export, strict=True)
    assert (data.profile.id, data.profile.email, data.profile.name) == (ada.access.user, mine, "canaryada")
    assert [(login.method, login.revoked_at) for login in data.logins] == [("code", None)]
    first, second = data.interviews
    assert [str(first.id), str(second.id)] == [done, running]
    assert (second.phase, second.solution, second.evaluation, second.runs, second.events) == (
        "clarifying", None, None, (), (),
    )  # fmt: skip
    assert [one.text for one in first.clarifications] == ["How many canaryada floors are there?"]
    assert first.solution is not None and first.solution.submitted_by == "candidate"
    assert first.solution.fields["extra"].endswith("canaryada")
    assert first.evaluation is not None
    seen = (await ada.http.get(f"/v1/interviews/{done}/evaluation")).json()
    assert (first.evaluation.score, first.evaluation.narrative) == (
        seen["result"]["score"],
        seen["result"]["narrative"],
    )
    assert [one.id for one in first.evaluation.criteria] == [one["id"] for one in seen["judged"]]
    assert [(run.run, run.state, len(run.judged)) for run in first.runs] == [(1, "done", len(GARAGE.rubric.criteria))]
    recorded = await read_events(node.parts.engine, done)
    assert list(first.events) == [json.loads(event.body) for event in recorded]


async def test_the_file_shows_one_instant(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the user may be deleted meanwhile: what was there when it began is in it, whole."""
    person, engine = await node.person(), node.parts.engine
    id = await plays(person, "canaryone")
    read, parts = exporting._interview, list[bytes]()

    async def after_a_deletion(*given: Any) -> Any:
        assert await delete_account(engine, node.parts.conductor.live, person.access.user, 900)
        return await read(*given)

    monkeypatch.setattr(exporting, "_interview", after_a_deletion)
    assert await export(engine, person.access.user, datetime.now(UTC), parts.append)
    data = msgspec.json.decode(b"".join(parts), type=Export)
    assert [str(one.id) for one in data.interviews] == [id]
    assert data.interviews[0].events and data.interviews[0].evaluation
    assert not await export(engine, person.access.user, datetime.now(UTC), parts.append)


async def test_a_large_file_goes_through_the_disk_and_comes_out_whole(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_me, "IN_MEMORY_BYTES_MAX", 100)
    monkeypatch.setattr(routes_me, "CHUNK_BYTES", 64)
    person = await node.person()
    assert (await person.http.get("/v1/me/export")).json()["profile"]["id"] == str(person.access.user)


async def test_a_file_may_be_asked_for_a_few_times_an_hour(node: Node) -> None:
    person = await node.person()
    for _ in range(routes_me.EXPORTS.count):
        assert (await person.http.get("/v1/me/export")).status_code == 200
    refused = await person.http.get("/v1/me/export")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3_600
