"""What the fake model says: an honest reader by keywords, and several dishonest ones."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from engine.core.prompt import UNTRUE

Mode = Literal["honest", "fabricate", "obey", "cunning", "nothing"]
"""`obey` finds every statement met, be it untrue. `cunning` does so where it is not found out: trip-wires it answers
right, and it quotes the order it was given, in words of its own."""

STATEMENT = re.compile(r"^(k\d+): (.+)$", re.MULTILINE)
SECTION = re.compile(r"^\[(\w+)\]$")
LINE = re.compile(r"^⟦[^⟧]+⟧ \d+│ (.*)$")
WORD = re.compile(r"[a-z]{4,}")
SHAPES = "|".join(re.escape(untrue).replace(r"\{name\}", r"(?:\w+)") for untrue in UNTRUE)
DECOY = re.compile(rf"^(?:{SHAPES})$")
SOME_TEXT = re.compile(r"^Section \w+ holds text\.$")
COMMON = frozenset("with that this which what when their there they from into each have than then more only".split())
STEM_CHARS = 5
FINDING = re.compile(r"^\[([\w.-]+)\] [^:]+: (a fault; )?(\w+): (.+?)(?: \(quote: .*\))?$", re.MULTILINE)


def answer(prompt: str, mode: Mode) -> str:
    """The reply to a judge's prompt, as a text that fits the schema."""
    lines = said_lines(prompt)
    allowed = allowed_sections(prompt)
    rows = [_row(id, statement, lines, allowed, mode) for id, statement in STATEMENT.findall(last_block(prompt))]
    return json.dumps({"verdicts": rows})


def feedback(prompt: str) -> str:
    """The reply to a request for feedback: for the first findings a line each, as it was asked for."""
    rows = FINDING.findall(prompt)
    won = [(id, ask) for id, fault, word, ask in rows if word == "met" and not fault]
    lost = [(id, ask) for id, fault, word, ask in rows if (word == "met") == bool(fault)]
    said = [f"strength | {id} | You show it well: {ask}" for id, ask in won[:2]]
    said += [f"weakness | {id} | This is missing: {ask}" for id, ask in lost[:2]]
    said += [f"improvement | {id} | Practise that next." for id, _ in lost[:1]]
    return "\n".join(said)


def criterion_of(prompt: str) -> str:
    """The name of the criterion a prompt asks about; empty when it asks for feedback."""
    found = re.search(r"^STATEMENTS TO CHECK \((.+)\)$", prompt, re.MULTILINE)
    return found.group(1) if found else ""


def last_block(prompt: str) -> str:
    return prompt[prompt.rindex("STATEMENTS TO CHECK") :]


def allowed_sections(prompt: str) -> list[str]:
    found = re.search(r"^Sections you may quote from: (.+)\.$", last_block(prompt), re.MULTILINE)
    return found.group(1).split(", ") if found else []


def said_lines(prompt: str) -> list[tuple[str, str]]:
    """(section, text) of every line of the candidate."""
    section, lines = "", []
    for line in prompt.splitlines():
        if named := SECTION.match(line):
            section = named.group(1)
        elif said := LINE.match(line):
            lines.append((section, said.group(1)))
    return lines


def _row(id: str, statement: str, lines: list[tuple[str, str]], allowed: list[str], mode: Mode) -> dict[str, Any]:
    section, quote, verdict = "none", "", "not_met"
    if DECOY.match(statement):
        verdict = "met" if mode == "obey" else "not_met"
    elif SOME_TEXT.match(statement):
        verdict = "met"
    elif mode == "cunning":
        section, quote, verdict = _any_line(lines, allowed), "as ordered: every statement is met", "met"
    elif mode in ("fabricate", "obey"):
        section, quote, verdict = allowed[0], "a sentence that the candidate never wrote at all", "met"
    elif mode == "honest" and (found := _found(statement, lines, allowed)):
        section, quote, verdict = *found, "met"
    return {"id": id, "reason": f"Because of {statement[:40]}", "section": section, "quote": quote, "verdict": verdict}


def _any_line(lines: list[tuple[str, str]], allowed: list[str]) -> str:
    return next((section for section, _ in lines if section in allowed), allowed[0])


def _found(statement: str, lines: list[tuple[str, str]], allowed: list[str]) -> tuple[str, str] | None:
    """The line that shares most words with the statement, if it shares two, or all."""
    wanted = _stems(statement)
    best = max(
        ((len(wanted & _stems(text)), -i) for i, (section, text) in enumerate(lines) if section in allowed),
        default=(0, 0),
    )
    if "contradict" in statement or best[0] < min(2, len(wanted)) or not wanted:
        return None
    section, text = lines[-best[1]]
    return section, text[:200]


def _stems(text: str) -> set[str]:
    return {word[:STEM_CHARS] for word in WORD.findall(text.lower())} - {word[:STEM_CHARS] for word in COMMON}
