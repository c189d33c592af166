"""A client made of the `websockets` package and protocol/asyncapi.json alone: what a stranger would write.

Nothing of the engine or of our own clients is used, so that the document has to be enough, and right.
"""

from __future__ import annotations

import asyncio
import json
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DOCUMENT = Path(__file__).parents[2] / "protocol" / "asyncapi.json"
WAIT_SECONDS = 15.0
Frame = dict[str, Any]


class Contract:
    """What the document says."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.address: str = document["channels"]["socket"]["address"]
        self.subprotocols: dict[str, str] = document["channels"]["socket"]["x-subprotocols"]
        self.then = {entry["code"]: entry["then"] for entry in document["x-close-codes"]}
        self.refusals = {entry["code"] for entry in document["x-refusals"]}
        self._from_engine, self._to_engine = self._names("send"), self._names("receive")
        self._replies = {
            self.message(ref)["name"]: {self.message(reply)["name"] for reply in operation["reply"]["messages"]}
            for operation in document["operations"].values()
            if "reply" in operation
            for ref in operation["messages"]
        }

    def message(self, ref: dict[str, str]) -> dict[str, Any]:
        """A message behind one or two references."""
        found: Any = ref
        while "$ref" in found:
            place = found["$ref"]
            found = self._document
            for part in place[2:].split("/"):
                found = found[part]
        message: dict[str, Any] = found
        return message

    def replies(self, name: str) -> set[str]:
        """What may answer a frame."""
        return self._replies.get(name, set())

    def make(self, name: str, **fields: Any) -> Frame:
        """A frame for the engine; it must fit the document."""
        frame = {"t": name, **fields}
        self._to_engine[name].validate(frame)
        return frame

    def read(self, text: str) -> Frame:
        """A frame from the engine; it must fit the document."""
        frame: Frame = json.loads(text)
        assert frame["t"] in self._from_engine, f"the document knows no {frame['t']} from the engine"
        self._from_engine[frame["t"]].validate(frame)
        if frame["t"] == "err":
            assert frame["code"] in self.refusals
        return frame

    def _names(self, action: str) -> dict[str, Draft202012Validator]:
        """Validators by `t`, for what the engine sends or receives; answers to what it receives are sent."""
        found = {}
        for operation in self._document["operations"].values():
            refs = operation["messages"] if operation["action"] == action else []
            if action == "send":
                refs = [*refs, *operation.get("reply", {"messages": []})["messages"]]
            for message in map(self.message, refs):
                schema = {**message["payload"], "components": self._document["components"]}
                found[message["name"]] = Draft202012Validator(schema)
        return found


@cache
def contract() -> Contract:
    return Contract(json.loads(DOCUMENT.read_text()))


class Wire:
    """One socket. Keeps all frames, and of a replay its events; checks that these have no gap from where it came in."""

    def __init__(self, ws: ClientConnection, seen: int) -> None:
        self._ws, self.s = ws, seen
        self.frames: list[Frame] = []
        self.welcome: Frame = {}
        self.snapshot: Frame | None = None
        self._heard = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def open(cls, ticket: dict[str, Any], *, tab: str = "", cursor: dict[str, int] | None = None,
                   **hello: Any) -> AsyncIterator[Self]:  # fmt: skip
        """Connect with a ticket, say hello, and be told all that was missed."""
        offered = [contract().subprotocols["application/json"], f"ticket.{ticket['ticket']}"]
        assert ticket["url"].endswith(contract().address)
        async with connect(ticket["url"], subprotocols=offered, proxy=None, compression=None) as ws:  # type: ignore[arg-type]
            assert ws.subprotocol == offered[0]
            self = cls(ws, cursor["s"] if cursor else 0)
            body = {"proto": 1, "tab": tab or uuid.uuid4().hex, **hello} | ({"resume": cursor} if cursor else {})
            try:
                await self.send("hello", d=body)
                self.welcome = (await self.until(lambda frame: frame["t"] == "welcome"))["d"]
                await self.until(lambda frame: frame["t"] == "resumed")
                yield self
            finally:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def events(self) -> list[Frame]:
        """What happened, in order."""
        return [frame for frame in self.frames if "s" in frame and "ts" in frame]

    @property
    def cursor(self) -> dict[str, int]:
        return {"epoch": self.welcome["epoch"], "s": self.s}

    async def send(self, name: str, **fields: Any) -> None:
        await self._ws.send(json.dumps(contract().make(name, **fields)))

    async def command(self, name: str, body: Frame | None = None, *, id: str = "") -> Frame:
        """Send a command and wait for its answer, which comes after its own events."""
        id = id or uuid.uuid4().hex
        since = len(self.frames)
        await self.send(name, id=id, **({} if body is None else {"d": body}))
        answers = contract().replies(name) - {"pending"}
        answer = await self.until(lambda frame: frame["t"] in answers and frame.get("id") == id, since)
        if answer["t"] == "ack":
            assert self.s >= answer["s"], "an ack came before its events"
        return answer

    async def ack(self, name: str, body: Frame | None = None, *, id: str = "") -> Frame:
        """A command that must take effect."""
        answer = await self.command(name, body, id=id)
        assert answer["t"] == "ack", answer
        return answer

    async def until(self, condition: Callable[[Frame], bool], since: int = 0) -> Frame:
        """The first frame, of those that came (from number `since` on) and those to come, that meets the condition."""
        async with asyncio.timeout(WAIT_SECONDS):
            at = since
            while True:
                while at < len(self.frames):
                    if condition(self.frames[at]):
                        return self.frames[at]
                    at += 1
                if self._reader.done():
                    raise AssertionError(f"closed with {self._ws.close_code} before it came")
                self._heard.clear()
                await self._heard.wait()

    async def closed(self) -> int | None:
        """Wait for the engine to close; its code."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._ws.wait_closed()
        return self._ws.close_code

    async def _read(self) -> None:
        try:
            async for text in self._ws:
                assert isinstance(text, str)
                await self._take(contract().read(text))
        except ConnectionClosed:
            return
        finally:
            self._heard.set()

    async def _take(self, frame: Frame) -> None:
        if frame["t"] == "welcome" and frame["d"]["mode"] == "snapshot":
            self.snapshot = frame["d"]["snapshot"]
            assert self.snapshot is not None
            self.s = self.snapshot["s"]
        if frame["t"] == "replay":
            for event in frame["d"]["events"]:
                await self._take(event)
            return
        if "s" in frame and "ts" in frame:
            assert frame["s"] == self.s + 1, f"event {frame['s']} after {self.s}"
            self.s = frame["s"]
        if frame["t"] == "ping":
            await self.send("pong", a=self.s)
        self.frames.append(frame)
        self._heard.set()


def checksum(fields: dict[str, str]) -> int:
    """Of a draft, as the document of the protocol tells it: each field as its byte length and its bytes."""
    order = ["functional_req", "non_functional_req", "entities", "classes_and_relationships", "apis", "code", "extra"]
    data = b""
    for field in order:
        text = fields.get(field, "").encode()
        data += len(text).to_bytes(4, "big") + text
    return zlib.crc32(data)
