"""What a person types, or a script pipes, as lines; and what a line asks for."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import NamedTuple, TextIO

from protocol.words import FIELDS, Field

WORDS = {
    "ask": "ask TEXT          a clarifying question; while clarifying, TEXT alone does",
    "yes": 'yes               to "did you mean ...?"',
    "no": 'no                to "did you mean ...?"',
    "reject": "reject [N]        not what I asked: answer N (else the newest) gives its quota back",
    "set": "set FIELD TEXT    write a field; also: set FIELD @FILE, and set FIELD <<END, lines, END",
    "language": "language NAME     go, cpp, java or python",
    "proceed": "proceed           leave clarifying for design",
    "submit": "submit            hand in",
    "retry": "retry             a further evaluation, after one that failed",
    "appeal": "appeal CHECK FIELD WORDS   have a check judged again; WORDS stand in FIELD",
    "show": "show [FIELD]      the answers, the draft and the evaluation; or one field in full",
    "time": "time              what is left of this phase",
    "wait": "wait WHAT         until: design, submitted, evaluation",
    "take": "take              take the pen back from another tab",
    "help": "help              this list",
    "quit": "quit              leave; the interview goes on without you until its time is up",
}
"""word -> how it is used."""


class Misread(ValueError):
    """A line that means nothing; the message says what would."""


class Line(NamedTuple):
    """The word, and what follows it."""

    word: str
    rest: str


class Lines:
    """Lines from a terminal or a pipe. Reading does not hold up the loop, nor the end of the program."""

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self.interactive = source.isatty()
        if self.interactive and source is sys.stdin:
            import readline  # noqa: F401  (line editing and history)

    async def next(self, prompt: str = "") -> str | None:
        """The next line without its end; None after the last."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()

        def read() -> None:
            line = self._read(prompt)
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(line))

        threading.Thread(target=read, daemon=True).start()
        return await future

    async def until(self, end: str) -> str:
        """All lines to the one that is `end`. Raises Misread when there is none."""
        found: list[str] = []
        while (line := await self.next("  ")) is not None:
            if line.strip() == end:
                return "\n".join(found)
            found.append(line)
        raise Misread(f"The input ended before {end}.")

    def _read(self, prompt: str) -> str | None:
        try:
            if self.interactive and self._source is sys.stdin:
                return input(prompt)
            line = self._source.readline()
        except EOFError:
            return None
        return line.rstrip("\r\n") if line else None


def parse(line: str, *, asking: bool) -> Line | None:
    """What a line asks for; None for an empty line or a comment. Text alone is a question, while those are open."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    word, _, rest = line.partition(" ")
    if word in WORDS and not (asking and _is_sentence(word, rest)):
        return Line(word, rest.strip())
    if asking:
        return Line("ask", line)
    raise Misread(f"{word}: no such command; `help` lists them.")


def _is_sentence(word: str, rest: str) -> bool:
    """'show me ...' and 'time limits?' are questions, `show code` and `time` are not."""
    match word:
        case "ask":
            return False
        case "set":
            return field_of(rest.partition(" ")[0]) is None
        case "show":
            return bool(rest) and field_of(rest) is None
        case _:
            return len(rest.split()) > 1 or rest.endswith("?")


def field_of(name: str) -> Field | None:
    """A field by its name or the beginning of it, where that fits only one."""
    if not name:
        return None
    found = [field for field in FIELDS if field == name] or [field for field in FIELDS if field.startswith(name)]
    return found[0] if len(found) == 1 else None


async def text_of(given: str, lines: Lines) -> str:
    """The text that `set` names: @FILE, <<END and lines, or the words themselves. Raises Misread."""
    if given.startswith("<<"):
        end = given[2:].strip()
        if not end:
            raise Misread("After << comes the word that ends the text, as in: set code <<END")
        return await lines.until(end)
    if given.startswith("@"):
        try:
            return Path(given[1:].strip()).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misread(f"{given[1:]}: {getattr(error, 'strerror', None) or 'is not a text file'}.") from None
    return given
