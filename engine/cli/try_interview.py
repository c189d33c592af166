"""An interview from the terminal: lines in, commands out, and whether all of it worked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import get_args

from engine.cli.try_client import Client
from engine.cli.try_lines import WORDS, Line, Lines, Misread, field_of, parse, text_of
from engine.cli.try_print import Printer, left, show
from engine.core.appeals import under_way
from engine.core.draft import checksum
from engine.core.interview import Interview
from protocol import commands
from protocol import messages as m
from protocol.codes import Refuse
from protocol.words import FIELDS, Change, Language

CONFLICTS_MAX = 3
WAITS = ("design", "submitted", "evaluation")


class Terminal:
    """Plays one interview from lines. `failed` once the engine refused something, or an evaluation failed."""

    def __init__(self, client: Client, lines: Lines, printer: Printer, wait_seconds: float) -> None:
        self._client, self._lines, self._printer, self._wait_seconds = client, lines, printer, wait_seconds
        self.failed = False
        self._does: dict[str, Callable[[str], Awaitable[None]]] = {
            "ask": self._ask, "yes": self._yes, "no": self._no, "reject": self._reject, "set": self._set,
            "language": self._language, "proceed": self._proceed, "submit": self._submit, "retry": self._retry,
            "appeal": self._appeal,
            "show": self._show, "time": self._time, "wait": self._wait, "take": self._take, "help": self._help,
        }  # fmt: skip

    @property
    def _view(self) -> Interview:
        assert self._client.view is not None
        return self._client.view

    async def play(self) -> None:
        """Until `quit` or the end of the lines."""
        await self._client.until(lambda: self._client.view is not None)
        await self._client.until(lambda: self._client.ready)
        while (text := await self._lines.next(self._prompt())) is not None:
            try:
                line = parse(text, asking=self._view.phase == "clarifying")
                if line is not None and line.word == "quit":
                    return
                if line is not None:
                    await self._do(line)
            except Misread as misread:
                self._fail(str(misread))

    def _prompt(self) -> str:
        if self._view.phase == "submitted":
            return "submitted> "
        return f"{self._view.phase} {left(self._client.seconds_left)}> "

    async def _do(self, line: Line) -> None:
        await self._does[line.word](line.rest)

    # --- clarifying ---

    async def _ask(self, text: str) -> None:
        if not text:
            raise Misread("ask what?")
        await self._send(lambda id: m.ClarifyAsk(id=id, d=commands.Ask(text=text)))

    async def _yes(self, _: str) -> None:
        ref = self._open("confirm")
        if ref is not None:
            await self._send(lambda id: m.ClarifyConfirm(id=id, d=commands.Confirm(ref=ref)))

    async def _no(self, _: str) -> None:
        await self._refund(self._open("confirm"))

    async def _reject(self, number: str) -> None:
        await self._refund(int(number) if number.isdigit() else self._open("answered", "confirm"))

    async def _refund(self, ref: int | None) -> None:
        if ref is not None:
            await self._send(lambda id: m.ClarifyReject(id=id, d=commands.Reject(ref=ref)))

    def _open(self, *kinds: str) -> int | None:
        """The newest answer of these kinds that is still open. None is no failure: a script cannot know."""
        for said in reversed(self._view.clarifications):
            if said.kind in kinds and said.state == "open":
                return said.ref
        self._printer.say("There is nothing to say that to.")
        return None

    # --- design ---

    async def _set(self, rest: str) -> None:
        name, _, given = rest.partition(" ")
        field = field_of(name)
        if field is None:
            raise Misread(f"set what? The fields: {', '.join(FIELDS)}.")
        text = await text_of(given.strip(), self._lines)
        await self._save((Change(field=field, text=text),), None)

    async def _language(self, name: str) -> None:
        languages: tuple[Language, ...] = get_args(Language)
        chosen = next((language for language in languages if language == name), None)
        if chosen is None:
            raise Misread(f"language: one of {', '.join(languages)}.")
        await self._save((), chosen)

    async def _save(self, changes: tuple[Change, ...], language: Language | None) -> None:
        """Whole fields are written, so after somebody else's save the same change fits the newer revision."""
        for _ in range(CONFLICTS_MAX):
            save = commands.Save(base=self._view.draft.rev, changes=changes, language=language)
            reply = await self._client.do(lambda id, d=save: m.DraftSave(id=id, d=d))  # type: ignore[misc]
            if not (isinstance(reply, m.Refusal) and reply.code == Refuse.CONFLICT.value.name):
                break
            newer = int(reply.d["rev"])
            await self._client.until(lambda newer=newer: self._view.draft.rev >= newer)  # type: ignore[misc]
        self._check(reply)

    async def _proceed(self, _: str) -> None:
        await self._send(lambda id: m.PhaseProceed(id=id))

    async def _submit(self, _: str) -> None:
        draft = self._view.draft
        body = commands.Submit(rev=draft.rev, checksum=checksum(draft.fields))
        await self._send(lambda id: m.SolutionSubmit(id=id, d=body))

    async def _retry(self, _: str) -> None:
        await self._send(lambda id: m.EvaluationRetry(id=id))

    async def _appeal(self, rest: str) -> None:
        check, _, pointed = rest.partition(" ")
        name, _, quote = pointed.strip().partition(" ")
        field = field_of(name)
        if field is None or not quote.strip():
            raise Misread("appeal what? A check, a field, and words that stand in it.")
        body = commands.Appeal(check=check, field=field, quote=quote.strip())
        await self._send(lambda id: m.EvaluationAppeal(id=id, d=body))

    # --- looking ---

    async def _show(self, name: str) -> None:
        field = field_of(name)
        if name and field is None:
            raise Misread(f"show what? The fields: {', '.join(FIELDS)}.")
        for line in show(self._view) if field is None else (self._view.draft.fields[field],):
            self._printer.say(line)

    async def _time(self, _: str) -> None:
        over = self._view.phase == "submitted"
        self._printer.say("No clock runs." if over else f"{left(self._client.seconds_left)} of {self._view.phase} left")

    async def _wait(self, what: str) -> None:
        if what not in WAITS:
            raise Misread(f"wait for what? One of: {', '.join(WAITS)}.")
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._client.until(lambda: self._reached(what))
        except TimeoutError:
            self._fail(f"{what} did not come within {self._wait_seconds:g} s.")
            return
        view = self._view.evaluation
        if what == "evaluation" and view is not None and view.state == "failed":
            self._fail("There is no result.")

    def _reached(self, what: str) -> bool:
        view = self._view
        if what == "evaluation":
            ended = view.evaluation is not None and view.evaluation.state in ("completed", "failed")
            return ended and under_way(view.evaluation) is None
        return view.phase == what or view.phase == "submitted"

    async def _take(self, _: str) -> None:
        await self._client.take_pen()

    async def _help(self, _: str) -> None:
        for use in WORDS.values():
            self._printer.say(f"  {use}")

    # --- whether it worked ---

    async def _send(self, command: Callable[[str], m.Command]) -> None:
        self._check(await self._client.do(command))

    def _check(self, reply: m.Ack | m.Refusal) -> None:
        if isinstance(reply, m.Refusal):
            where = f" (at {reply.at})" if reply.at else ""
            self._fail(f"Refused, {reply.code}: {reply.message}{where}")

    def _fail(self, why: str) -> None:
        self.failed = True
        self._printer.complain(why)
