"""The fake model as a program of its own: scripted, asked, and looked into over HTTP, by whoever is no test of ours."""

from __future__ import annotations

import asyncio
import sys

import pytest

from engine.judging.judge import JudgeError
from engine.judging.judge_openai import OpenAIJudge
from engine.telemetry import make_metrics
from tests.judging.conftest import BACKOFF_SECONDS, CALL_SECONDS
from tests.judging.stage import JUDGED
from tests.judging.test_judge_openai import CASE
from tests.loopback import http_client


async def test_the_program() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fake_model", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    judge = OpenAIJudge(
        api_key="", base_url=url, model="fake-1", call_seconds=CALL_SECONDS, metrics=make_metrics(),
        backoff_seconds=BACKOFF_SECONDS,
    )  # fmt: skip
    try:
        async with http_client(base_url=url.removesuffix("/v1")) as http:
            await http.post("/script", json=[{"status": 429, "headers": {"retry-after": "0"}}, {"refusal": "no"}])
            with pytest.raises(JudgeError) as failed:
                await judge.judge_criterion(CASE, JUDGED[0])
            assert failed.value.spent.outcomes == ("rate_limited", "refused")
            await judge.judge_criterion(CASE, JUDGED[1])
            calls = (await http.get("/calls")).json()
        assert [call["outcome"] for call in calls] == ["failed", "answered", "answered"]
        assert [call["criterion"] for call in calls] == [JUDGED[0].name, JUDGED[0].name, JUDGED[1].name]
    finally:
        await judge.close()
        process.terminate()
        await process.wait()
