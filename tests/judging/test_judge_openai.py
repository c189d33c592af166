"""Every way a model can fail, over real HTTP: told apart, tried again where that helps, never taken for a verdict."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from engine.core.prompt import Submission
from engine.judging import capped
from engine.judging.breaker import FAILURES_MAX, OPEN_SECONDS, Breaker
from engine.judging.judge import Case, JudgeError
from engine.judging.judge_openai import TRIES, OpenAIJudge
from engine.judging.model_stream import retry_after
from tests.fake_model import FakeModel, Step
from tests.judging.stage import GARAGE, JUDGED, STRONG
from tests.until import until

CRITERION = JUDGED[0]
CASE = Case(pack=GARAGE, submission=Submission(fields=STRONG, language="python"), mark="a1b2c3")
FOREVER = 1_000


def rows(*changes: dict[str, Any]) -> str:
    row = {"id": "k1", "reason": "r", "section": "none", "quote": "", "verdict": "not_met"}
    return json.dumps({"verdicts": [{**row, **change} for change in changes]})


FAILURES: list[tuple[str, Step, str]] = [
    ("500", Step(status=500), "unavailable"),
    ("503", Step(status=503), "unavailable"),
    ("408", Step(status=408), "unavailable"),
    ("429", Step(status=429), "rate_limited"),
    ("400", Step(status=400), "rejected"),
    ("401", Step(status=401), "rejected"),
    ("404", Step(status=404), "rejected"),
    ("cut", Step(cut=100), "truncated"),
    ("dropped", Step(drop=100), "truncated"),
    ("refusal", Step(refusal="I cannot help with that."), "refused"),
    ("content filter", Step(finish="content_filter"), "content_filter"),
    ("request filtered", Step(status=400, code="content_filter"), "content_filter"),
    ("length", Step(finish="length"), "length"),
    ("other finish", Step(finish="tool_calls"), "garbled"),
    ("empty", Step(text=""), "schema"),
    ("prose", Step(text="All checks are met. 10/10."), "schema"),
    ("half JSON", Step(text='{"verdicts": [{"id": "k1"'), "schema"),
    ("another shape", Step(text='{"score": 100}'), "schema"),
    ("a score beside", Step(text='{"verdicts": [], "score": 100}'), "schema"),
    ("NaN", Step(text='{"verdicts": NaN}'), "schema"),
    ("verdict of its own", Step(text=rows({"verdict": "excellent"})), "schema"),
    ("fenced", Step(text="```json\n{}\n```"), "schema"),
    ("deep", Step(text="[" * 60_000), "schema"),
    ("no verdicts", Step(text='{"verdicts": []}'), "missing"),
    ("one verdict", Step(text=rows({})), "missing"),
    ("strange id", Step(text=rows({"id": "C9.z"})), "wrong_ids"),
    ("twice", Step(text=rows({}, {})), "repeated"),
    ("huge", Step(text="x" * 70_000), "too_large"),
    ("obedient", Step(mode="obey"), "captured"),
]


@pytest.mark.parametrize(("step", "code"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
async def test_told_apart(judge: OpenAIJudge, model: FakeModel, step: Step, code: str) -> None:
    model.script(Step(**{**step.__dict__, "times": FOREVER}))
    with pytest.raises(JudgeError) as failed:
        await judge.judge_criterion(CASE, CRITERION)
    assert failed.value.code == code
    assert failed.value.spent.outcomes == (code,) * TRIES.get(code, 1)
    assert len(model.calls) == TRIES.get(code, 1)


@pytest.mark.parametrize(
    "step", [f[1] for f in FAILURES if f[2] in TRIES], ids=[f[0] for f in FAILURES if f[2] in TRIES]
)
async def test_one_failure_is_got_over(judge: OpenAIJudge, model: FakeModel, step: Step) -> None:
    model.script(step)
    judged = await judge.judge_criterion(CASE, CRITERION)
    assert {verdict.check for verdict in judged.verdicts} == {check.id for check in CRITERION.checks}
    assert len(model.calls) == 2
    assert judged.spent.outcomes[-1] == "ok"


async def test_honest(judge: OpenAIJudge, model: FakeModel) -> None:
    judged = await judge.judge_criterion(CASE, CRITERION)
    assert any(verdict.verdict == "met" and verdict.quote for verdict in judged.verdicts)
    assert judged.spent.model == "fake-1"
    assert judged.spent.input_tokens > judged.spent.cached_tokens > 0
    body = model.calls[0].body
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["stream"] is True
    assert "tools" not in body


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": -1}, {"completion_tokens": 10**30}, {"prompt_tokens": "many"}, {"prompt_tokens": None}],
)
async def test_counts_that_are_none_cost_no_verdicts(
    judge: OpenAIJudge, model: FakeModel, usage: dict[str, Any]
) -> None:
    model.script(Step(usage=usage))
    judged = await judge.judge_criterion(CASE, CRITERION)
    assert len(model.calls) == 1
    assert judged.spent.estimated
    assert 0 < judged.spent.output_tokens < 10_000


async def test_stall_ends_with_the_call(judge: OpenAIJudge, model: FakeModel) -> None:
    judge._call_seconds = 0.1
    model.script(Step(hold=30, times=FOREVER))
    with pytest.raises(JudgeError, match="timeout"):
        await judge.judge_criterion(CASE, CRITERION)
    assert len(model.calls) == TRIES["timeout"]


async def test_nothing_listens(model: FakeModel, judge: OpenAIJudge) -> None:
    judge._client.base_url = "http://127.0.0.1:9/v1/"
    with pytest.raises(JudgeError, match="unavailable"):
        await judge.judge_criterion(CASE, CRITERION)


async def test_retry_after_is_kept(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(status=429, headers={"retry-after": "0.4"}))
    await judge.judge_criterion(CASE, CRITERION)
    first, second = model.calls
    assert second.at - first.at >= 0.4


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": formatdate(time.time() + 100_000, usegmt=True)}, 99_500),
        ({"retry-after": formatdate(time.time() - 1_000, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after-ms": "nan"}, 0),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after(headers)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=500 if seconds > 100 else 0))


@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2199 23:59:59 GMT"])
async def test_retry_after_that_is_too_long(judge: OpenAIJudge, model: FakeModel, wait: str) -> None:
    model.script(Step(status=429, headers={"retry-after": wait}, times=FOREVER))
    with pytest.raises(JudgeError, match="rate_limited"):
        await judge.judge_criterion(CASE, CRITERION)
    assert len(model.calls) == 1


async def test_a_line_that_never_ends(judge: OpenAIJudge, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is text, so that its characters are not counted: its bytes are."""
    monkeypatch.setattr(capped, "REPLY_BYTES_MAX", 1_000_000)
    model.script(Step(flood=4_000_000))
    judged = await judge.judge_criterion(CASE, CRITERION)
    assert judged.spent.outcomes == ("too_large", "ok")
    assert model.calls[0].headers["accept-encoding"] == "identity"


async def test_shorter_reasons_after_length(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(finish="length"))
    await judge.judge_criterion(CASE, CRITERION)
    first, second = (call.body["messages"][-1]["content"] for call in model.calls)
    assert "at most 40 words" in first
    assert "at most 12 words" in second


async def test_the_sdk_retries_nothing(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(status=401, times=FOREVER))
    with pytest.raises(JudgeError):
        await judge.judge_criterion(CASE, CRITERION)
    assert [call.headers.get("x-stainless-retry-count") for call in model.calls] == ["0"]


async def test_leaving_ends_the_call(judge: OpenAIJudge, model: FakeModel) -> None:
    """A worker that stops does not leave a model writing for nobody."""
    model.script(Step(hold=30, times=FOREVER))
    asking = asyncio.create_task(judge.judge_criterion(CASE, CRITERION))
    await until(lambda: model.calls)
    assert [call.outcome for call in model.calls] == ["open"]
    asking.cancel()
    await until(lambda: model.calls[0].outcome == "left")
    assert asking.cancelled()


async def test_breaker_spares_a_dead_server(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(status=500, times=FOREVER))
    for _ in range(4):
        with pytest.raises(JudgeError, match="unavailable"):
            await judge.judge_criterion(CASE, CRITERION)
    assert len(model.calls) == FAILURES_MAX


def test_breaker_closes_again() -> None:
    clock = [0.0]
    breaker = Breaker(lambda: clock[0])
    seen = []
    for _ in range(FAILURES_MAX):
        seen.append(breaker.is_open)
        breaker.failed()
    assert seen == [False] * FAILURES_MAX
    assert breaker.is_open
    clock[0] = OPEN_SECONDS
    assert [breaker.is_open, breaker.failed(), breaker.is_open] == [False, None, True]  # type: ignore[func-returns-value]
    clock[0] = 2 * OPEN_SECONDS
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open


async def test_narrative(judge: OpenAIJudge, model: FakeModel) -> None:
    pieces: list[str] = []
    written = await judge.narrate(
        GARAGE.title,
        ["[C1.a] Name: met: It is so.", "[C1.b] Name: not_met: It could be so, and is not so here."],
        pieces.append,
    )
    assert written.text == "".join(pieces).strip()
    assert written.spent.output_tokens > 0
    assert len(pieces) > 1
    assert STRONG["code"] not in str(model.calls[-1].body)
