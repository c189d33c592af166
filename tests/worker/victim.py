"""`python -m tests.worker.victim`: workers to be killed, forked from a process that has its imports behind it.

Each line of input, `[database, model, interview, hang at, run]`, makes one; its pid is the answer. It judges it and
tells nobody; when it should announce what it is to hang at, it says so and hangs.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from uuid import UUID

from engine import telemetry
from engine.judging.evaluation import evaluate
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.keeping import Bench
from engine.judging.model_stream import open_client
from engine.record.engine import make_engine
from engine.settings import load_settings
from engine.telemetry import make_metrics
from protocol import events

LEASE_SECONDS = 1.0


async def main(database_url: str, model_url: str, interview: str, hang_at: str, run: str) -> None:
    async def announce(_: UUID, command_id: str, __: events.Event) -> bool:
        if command_id == hang_at:
            say("hangs")
            await asyncio.Event().wait()
        return True

    async def narrate(*_: object) -> None:
        pass

    metrics = make_metrics()
    bench = Bench(
        engine=make_engine(load_settings({}, database_url=database_url)),
        judge=OpenAIJudge(api_key="", base_url=model_url, model="fake-1", call_seconds=10.0, metrics=metrics),
        announce=announce,
        narrate=narrate,
        metrics=metrics,
        owner="victim",
        lease_seconds=LEASE_SECONDS,
        job_seconds=60.0,
        calls_parallel=4,
    )
    await evaluate(bench, UUID(interview), int(run))


def fork_each() -> None:
    """Until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(main(*json.loads(line)))
            os._exit(0)
        say(str(pid))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    telemetry.configure("json")
    open_client("", "http://127.0.0.1:9", 1.0)  # what the SDK imports late
    fork_each()
