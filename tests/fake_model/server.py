"""The fake model's HTTP side: chat completions by script, and the log of what was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fake_model.answers import Mode, answer, criterion_of, feedback

CHUNK_CHARS = 96
FLOOD_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one request gets. `only`: just requests about this criterion; `times`: so many of them.

    `hold`: wait for `FakeModel.release()`, before the answer or after so many characters. `cut`: after so many
    characters the stream ends without a finish reason; `drop`: the connection breaks instead. `flood`: so many bytes
    of a line that never ends. `usage`: whether the tokens are counted, or what else it says of them. `model`: just
    requests for this one.
    """

    mode: Mode = "honest"
    text: str | None = None
    status: int = 200
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    refusal: str | None = None
    hold: int | None = None
    cut: int | None = None
    drop: int | None = None
    flood: int = 0
    usage: bool | dict[str, Any] = True
    token_seconds: float = 0.0
    only: str = ""
    model: str = ""
    times: int = 1


@dataclass
class Call:
    """One request: which criterion (empty: feedback), when, and how it went. `ended`: when its last byte was sent."""

    criterion: str
    at: float
    body: dict[str, Any]
    headers: dict[str, str]
    outcome: Literal["open", "answered", "failed", "left"] = "open"
    ended: float = 0.0


class FakeModel:
    """The server. Requests take the first step of the script that fits; without one they are answered honestly."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.url = ""
        self.reader: Callable[[str], str] | None = None
        """Who answers in place of the honest reader, until the next script: a prompt in, a reply out."""
        self._steps: list[tuple[Step, int]] = []
        self._released = asyncio.Event()
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        routes = [
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/calls", self._list, methods=["GET"]),
            Route("/script", self._rewrite, methods=["POST"]),
            Route("/release", self._let_go, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    def script(self, *steps: Step) -> None:
        """Replace the script, forget the calls, hold again."""
        self.calls.clear()
        self.reader = None
        self._steps = [(step, step.times) for step in steps]
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let go of all requests that are held, and hold none until the next script."""
        self._released.set()

    def asked(self, criterion: str) -> int:
        """How many requests there were about this criterion."""
        return sum(call.criterion == criterion for call in self.calls)

    async def serve(self, listening: socket.socket, *, signals: bool = True) -> None:
        """Serve on a bound socket until stopped; a program takes signals, a test's own loop must not."""
        config = uvicorn.Config(self.app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        if not signals:
            self._server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        await self._server.serve(sockets=[listening])

    async def __aenter__(self) -> Self:
        listening = bound()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        self._task = asyncio.create_task(self.serve(listening, signals=False))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task

    def _next(self, criterion: str, model: str) -> Step:
        for i, (step, left) in enumerate(self._steps):
            if left > 0 and step.only in ("", criterion) and step.model in ("", model):
                self._steps[i] = (step, left - 1)
                return step
        return Step()

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        call = Call(criterion_of(prompt), asyncio.get_running_loop().time(), body, dict(request.headers))
        self.calls.append(call)
        step = self._next(call.criterion, body["model"])
        if step.hold == 0:
            await self._hold(request, call)
        if step.status != 200:
            call.outcome = "failed"
            error = {"message": "as the script says", "type": "scripted", "code": step.code or str(step.status)}
            return JSONResponse({"error": error}, step.status, headers=step.headers)
        text = step.text if step.text is not None else self._read(prompt, step) if call.criterion else feedback(prompt)
        return StreamingResponse(self._stream(step, call, text), media_type="text/event-stream")

    def _read(self, prompt: str, step: Step) -> str:
        return self.reader(prompt) if self.reader is not None and step.mode == "honest" else answer(prompt, step.mode)

    async def _hold(self, request: Request, call: Call) -> None:
        """Until released, or until the client leaves."""
        released = asyncio.create_task(self._released.wait())
        left = asyncio.create_task(_left(request))
        _, waiting = await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if not released.done():
            call.outcome = "left"

    async def _stream(self, step: Step, call: Call, text: str) -> AsyncIterator[str]:
        try:
            async for frame in self._frames(step, call, text):
                yield frame
        finally:
            if call.outcome == "open":
                call.outcome = "left"

    async def _frames(self, step: Step, call: Call, text: str) -> AsyncIterator[str]:
        chunk = partial(_chunk, call.body["model"])
        yield chunk({"role": "assistant", "content": ""})
        for _ in range(0, step.flood, FLOOD_BYTES):
            yield "x" * FLOOD_BYTES
        if step.refusal is not None:
            yield chunk({"refusal": step.refusal})
            text = ""
        ends = step.cut if step.cut is not None else step.drop if step.drop is not None else len(text)
        for start in range(0, min(ends, len(text)), CHUNK_CHARS):
            if step.hold and start >= step.hold:
                await self._released.wait()
            if step.token_seconds:
                await pause(step.token_seconds)
            yield chunk({"content": text[start : min(start + CHUNK_CHARS, ends)]})
        if step.drop is not None:
            call.outcome = "failed"
            raise ConnectionResetError("as the script says")
        if step.cut is not None:
            call.outcome = "failed"
            return
        yield chunk({}, step.finish)
        if step.usage:
            usage = _usage(call.body, text) | (step.usage if isinstance(step.usage, dict) else {})
            yield _data({**_envelope(call.body["model"]), "choices": [], "usage": usage})
        call.outcome, call.ended = "answered", asyncio.get_running_loop().time()
        yield "data: [DONE]\n\n"

    async def _list(self, request: Request) -> Response:
        return JSONResponse([{"criterion": call.criterion, "outcome": call.outcome} for call in self.calls])

    async def _rewrite(self, request: Request) -> Response:
        self.script(*(Step(**step) for step in await request.json()))
        return JSONResponse([asdict(step) for step, _ in self._steps])

    async def _let_go(self, request: Request) -> Response:
        self.release()
        return Response(status_code=204)


def bound(port: int = 0) -> socket.socket:
    """A listening socket on loopback."""
    listening = socket.create_server(("127.0.0.1", port))
    listening.setblocking(False)
    return listening


async def pause(seconds: float) -> None:
    """A server's delay; tests themselves wait for conditions."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _envelope(asked: str) -> dict[str, Any]:
    """A model is asked for by a name and answers by that of its newest version."""
    answers = asked if asked.endswith("-1") else f"{asked}-1"
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": answers}


def _chunk(asked: str, delta: dict[str, Any], finish: str | None = None) -> str:
    return _data({**_envelope(asked), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"


def _usage(body: dict[str, Any], text: str) -> dict[str, Any]:
    """Four characters a token, roughly; the cached share is that of the common prefix."""
    asked = sum(len(message["content"]) for message in body["messages"]) // 4
    wrote = len(text) // 4
    return {
        "prompt_tokens": asked,
        "completion_tokens": wrote,
        "total_tokens": asked + wrote,
        "prompt_tokens_details": {"cached_tokens": asked // 2},
    }
