"""The contract as tables for people: what README.md holds between its marks."""

from __future__ import annotations

from typing import get_args

from protocol import messages as m
from protocol.asyncapi import close_code
from protocol.codes import Close, Refuse
from protocol.json_schema import frame_type, sentence

_THEN = {"resume": "come back and resume", "renew": "come back with a new ticket or without a cursor", "stop": "stop"}


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {
        "commands": _frames(get_args(m.Command)),
        "connection": _frames((m.Hello, m.TimeRequest, m.Pong, m.AuthRefresh)),
        "events": _frames(get_args(m.EventToClient)),
        "replies": _frames((m.Ack, m.Refusal, *get_args(m.Control))),
        "refusals": _refusals(),
        "closes": _closes(),
    }


def filled(text: str) -> str:
    """The text with each table between its marks made anew. Raises ValueError where a mark is missing."""
    for name, table in tables().items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not (start and end):
            raise ValueError(f"the mark {name} is missing")
        text = before + start + table + end + after
    return text


def _frames(frames: tuple[type[m.Frame], ...]) -> str:
    rows = [f"| `{frame_type(frame)}` | {_cell(sentence(frame).partition(chr(10))[0])} |\n" for frame in frames]
    return "| `t` | what it says |\n|---|---|\n" + "".join(rows)


def _refusals() -> str:
    rows = [
        f"| `{code.name}` | {'yes' if code.temp else 'no'} | {code.status} | {_cell(code.message)} |\n"
        for code in (refuse.value for refuse in Refuse)
    ]
    return "| code | again? | over REST | what it says |\n|---|---|---|---|\n" + "".join(rows)


def _closes() -> str:
    told = map(close_code, Close)
    rows = [f"| {code['code']} | {_cell(code['meaning'])} | {_THEN[code['then']]} |\n" for code in told]
    return "| code | why | then |\n|---|---|---|\n" + "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
