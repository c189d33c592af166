"""Transcripts: interviews written down line by line, to be played on any stage.

    # a comment                  > a client's frame: type and body       < a frame the client hears: type and part of it
    @ +90s, @ deadline+0s        ! a worker's word: type and body        ~ the connection is cut, the client comes back

Between a line and the next `<`, `>`, `~` or the end, nothing may be heard that is not written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from engine.core.interview import Interview
from engine.core.pack import Pack
from tests.core.shipped import packs

FOLDER = Path(__file__).parent
TRANSCRIPTS = sorted(path.stem for path in FOLDER.glob("*.txt"))
PACK: Pack = packs()["parking-garage"]
TIME = re.compile(r"(deadline)?([+-]\d+)s")


class Line(NamedTuple):
    """One line: its mark, and what follows."""

    number: int
    mark: str
    rest: str

    def said(self) -> tuple[str, dict[str, Any]]:
        """The type and the body of a frame."""
        kind, _, body = self.rest.partition(" ")
        return kind, json.loads(body) if body else {}


class Stage(Protocol):
    """Where a transcript is played: the core alone, a conductor with its servers, or a socket."""

    async def says(self, frame: dict[str, Any]) -> None:
        """The client sends a frame."""

    async def hears(self) -> dict[str, Any]:
        """The next frame that the client hears."""

    async def hears_nothing(self) -> None:
        """Nothing more has come."""

    async def works(self, kind: str, body: dict[str, Any]) -> None:
        """A worker announces."""

    async def waits(self, ms: int, *, from_deadline: bool) -> None:
        """Time goes on by `ms`, or until `ms` after the deadline; whoever acts for the clock acts."""

    async def is_cut(self) -> None:
        """The connection is gone, and a new one resumes."""

    async def ends(self) -> Interview:
        """The interview as it stands."""


def read(name: str) -> list[Line]:
    """The lines of a transcript, without its comments."""
    lines = enumerate((FOLDER / f"{name}.txt").read_text().splitlines(), 1)
    return [Line(n, line[0], line[1:].strip()) for n, line in lines if line and line[0] != "#"]


async def play(name: str, stage: Stage) -> Interview:
    """Play a transcript to its end. AssertionError names the line that went otherwise."""
    saved = 0
    for line in read(name):
        where = f"{name}.txt:{line.number}: {line.mark} {line.rest}"
        if line.mark != "<":
            await stage.hears_nothing()
        match line.mark:
            case ">":
                await stage.says(_frame(line, saved))
            case "<":
                heard = await stage.hears()
                saved = heard["d"]["checksum"] if heard["t"] == "draft.saved" else saved
                assert _holds(_expected(line), heard), f"{where}\nheard {heard}"
            case "!":
                await stage.works(*line.said())
            case "@":
                found = TIME.fullmatch(line.rest)
                assert found, where
                await stage.waits(int(found[2]) * 1000, from_deadline=bool(found[1]))
            case "~":
                await stage.is_cut()
            case _:
                raise AssertionError(where)
    await stage.hears_nothing()
    return await stage.ends()


def essence(interview: Interview) -> tuple[Any, ...]:
    """What of an interview does not depend on when and where it was played."""
    said = [(s.ref, s.kind, s.intent, s.state, s.response) for s in interview.clarifications]
    submission = interview.submission and (interview.submission.by, interview.submission.rev, interview.submission.late)
    return interview.seq, interview.phase, said, interview.draft, submission, interview.evaluation


def _frame(line: Line, saved: int) -> dict[str, Any]:
    kind, body = line.said()
    if body.get("checksum") == "as saved":
        body["checksum"] = saved
    return {"t": kind, "id": f"line-{line.number:04d}", "d": body}


def _expected(line: Line) -> dict[str, Any]:
    kind, part = line.said()
    return {"t": kind, **(part if kind in ("ack", "err") else {"d": part})}


def _holds(part: Any, whole: Any) -> bool:
    """Whether all that `part` says is so in `whole`; a default that was not sent is as good as said."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            _holds(value, whole.get(key, DEFAULTS.get(key))) for key, value in part.items()
        )
    return bool(part == whole)


DEFAULTS = {"dup": False, "late": False, "temp": False, "durable": "record", "charged": False}
