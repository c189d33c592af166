"""The judge that asks a model, by chat completions with streaming and a strict schema: any compatible server will do.

The SDK retries nothing: every call is ours, counted, and bounded in time and size.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from engine.core.evidence import Verdict
from engine.core.marked import plain
from engine.core.pack import Criterion
from engine.core.prompt import Asking, ask, narrative_messages
from engine.core.reply import REPLY_CHARS_MAX, ReplyFault, parse_reply
from engine.judging.breaker import Breaker
from engine.judging.judge import Case, FailureCode, Judged, JudgeError, Spent, Written
from engine.judging.model_stream import Message, OnText, Reply, complete, open_client
from engine.telemetry import Metrics
from protocol.events import Judge as JudgeName

TRIES: Final[dict[FailureCode, int]] = {
    "unavailable": 6,
    "rate_limited": 6,
    "truncated": 3,
    "garbled": 3,
    "timeout": 2,  # each costs a whole call's time
    "length": 2,  # the second asks for shorter reasons
    "too_large": 2,
    "schema": 2,
    "wrong_ids": 2,
    "repeated": 2,
    "missing": 2,
    "captured": 2,
}
"""How often a criterion is asked before this failure is final; the others are final at once."""
OUTAGE: Final = frozenset({"unavailable", "timeout", "truncated", "garbled"})
"""What the breaker counts: the server is not well. A refusal or a bad reply is an answer."""
BACKOFF_SECONDS: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 8.0
RETRY_AFTER_SECONDS_MAX: Final = 60.0
"""A server that asks for more will not answer within a job."""
OUTPUT_TOKENS_MAX: Final = 8_192
"""Room for the verdicts on 20 checks, and for a model that thinks first."""
NARRATIVE_CHARS_MAX: Final = 4_000
CHARS_A_TOKEN: Final = 4
"""By which tokens are guessed where a server does not count them, or did not come to it."""


class OpenAIJudge:
    """One model of one provider. Raises JudgeError, each kind of failure by its own code.

    `provider` is what receipts call it; judges of the same provider share its `breaker`.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        model: str,
        call_seconds: float,
        metrics: Metrics,
        provider: str = "openai-compatible",
        breaker: Breaker | None = None,
        backoff_seconds: float = BACKOFF_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = open_client(api_key, base_url, call_seconds)
        self._provider = provider
        self._model = model
        self._call_seconds = call_seconds
        self._metrics = metrics
        self._backoff_seconds = backoff_seconds
        self._chance = chance
        self._breaker = breaker or Breaker()

    @property
    def name(self) -> JudgeName:
        return "openai"

    def describe(self) -> dict[str, Any]:
        return {
            "provider": self._provider,
            "model": self._model,
            "parameters": {"max_completion_tokens": OUTPUT_TOKENS_MAX, "response_format": "json_schema strict"},
        }

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def judge_criterion(self, case: Case, criterion: Criterion) -> Judged:
        spent, terse = Spent(provider=self._provider, asked=self._model), False
        while True:
            asking = ask(case.pack, criterion, case.submission, case.mark, terse=terse)
            tried = _Try(asking.messages)
            outcome: Judged | JudgeError
            try:
                outcome = Judged(await self._ask(asking, tried.reply))
            except JudgeError as error:
                outcome = error
            spent = self._add(spent, tried, outcome.code if isinstance(outcome, JudgeError) else "ok")
            if isinstance(outcome, Judged):
                return Judged(outcome.verdicts, spent)
            await self._again(outcome, spent)
            terse = terse or outcome.code == "length"

    async def _ask(self, asking: Asking, reply: Reply) -> tuple[Verdict, ...]:
        """The verdicts of one call."""
        named = {"name": "verdicts", "strict": True, "schema": asking.schema}
        shape = {"response_format": {"type": "json_schema", "json_schema": named}}
        verdicts = parse_reply(await self._call(asking.messages, shape, reply, REPLY_CHARS_MAX), asking)
        if isinstance(verdicts, ReplyFault):
            raise JudgeError(verdicts.code)
        return verdicts

    async def _call(
        self,
        messages: Sequence[Message],
        shape: dict[str, Any],
        reply: Reply,
        chars_max: int,
        on_text: OnText | None = None,
    ) -> str:
        """One request, through the breaker."""
        if self._breaker.is_open:
            raise JudgeError("unavailable")
        wanted = {"model": self._model, "messages": messages, "max_completion_tokens": OUTPUT_TOKENS_MAX, **shape}
        try:
            text = await complete(
                self._client, wanted, reply, call_seconds=self._call_seconds, chars_max=chars_max, on_text=on_text
            )
        except JudgeError as error:
            if error.code in OUTAGE:
                self._breaker.failed()
            raise
        self._breaker.succeeded()
        return text

    async def _again(self, error: JudgeError, spent: Spent) -> None:
        """Wait before the next try, or raise the error when there is none."""
        error.spent = spent
        tries = sum(outcome == error.code for outcome in spent.outcomes)
        too_long = (error.retry_after or 0.0) > RETRY_AFTER_SECONDS_MAX
        if tries >= TRIES.get(error.code, 1) or too_long or self._breaker.is_open:
            raise error
        if error.retry_after is not None:
            await asyncio.sleep(error.retry_after * (1 + self._chance() / 10))
            return
        longest = min(BACKOFF_SECONDS_MAX, self._backoff_seconds * 2 ** (len(spent.outcomes) - 1))
        await asyncio.sleep(longest * (1 + self._chance()) / 2)

    async def narrate(self, title: str, findings: Sequence[str], on_text: OnText) -> Written:
        """One call, no second try: the verdicts stand without it."""
        messages = narrative_messages(title, findings)
        spent, tried = Spent(provider=self._provider, asked=self._model), _Try(messages)
        try:
            text = await self._call(messages, {}, tried.reply, NARRATIVE_CHARS_MAX, on_text)
        except JudgeError as error:
            error.spent = self._add(spent, tried, error.code)
            raise
        return Written(plain(text).strip(), self._add(spent, tried, "ok"))

    def _add(self, spent: Spent, tried: _Try, outcome: str) -> Spent:
        """What was spent, this try included."""
        seconds, reply = time.monotonic() - tried.began, tried.reply
        self._metrics.judge_calls.labels(outcome=outcome).inc()
        self._metrics.judge_seconds.observe(seconds)
        guessed = not reply.counted and (reply.began or outcome == "timeout")
        taken = {
            "input": tried.chars // CHARS_A_TOKEN if guessed else reply.input_tokens,
            "cached": reply.cached_tokens,
            "output": reply.chars // CHARS_A_TOKEN if guessed else reply.output_tokens,
        }
        for kind, tokens in taken.items():
            self._metrics.judge_tokens.labels(kind=kind).inc(tokens)
        return msgspec.structs.replace(
            spent,
            model=reply.model or spent.model,
            outcomes=(*spent.outcomes, outcome),
            ms=spent.ms + round(seconds * 1000),
            input_tokens=spent.input_tokens + taken["input"],
            cached_tokens=spent.cached_tokens + taken["cached"],
            output_tokens=spent.output_tokens + taken["output"],
            estimated=spent.estimated or guessed,
        )


class _Try:
    """One call: when it began, how much was sent, and what came."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.began = time.monotonic()
        self.chars = sum(len(message["content"]) for message in messages)
        self.reply = Reply()
