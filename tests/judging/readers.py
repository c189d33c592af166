"""Judges for the fake model that know the gold set: one that says what people say, and three that follow orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from engine.core.evidence import normalise
from engine.core.pack import Pack
from engine.judging.trial.gold import (
    ATTACKS,
    GOLD,
    Attack,
    GoldPaper,
    GoldSet,
    judged,
    read_attacks,
    read_folder,
    read_gold,
)
from protocol.words import FIELDS
from tests.core.shipped import packs
from tests.fake_model.answers import DECOY, SOME_TEXT, STATEMENT, allowed_sections, criterion_of, last_block, said_lines

Line = tuple[str, str]
Row = tuple[str, str, str]
"""(section, quote, verdict)."""
NOTHING: Row = ("none", "", "not_met")


@cache
def gold_sets() -> tuple[GoldSet, ...]:
    return tuple(read_gold(text, packs()) for text in read_folder(GOLD))


@cache
def corpus() -> tuple[Attack, ...]:
    return tuple(attack for text in read_folder(ATTACKS) for attack in read_attacks(text))


class Prompt:
    """What a prompt asks, and which paper of the gold set it holds."""

    def __init__(self, text: str) -> None:
        title = text.removeprefix("QUESTION: ").split("\n", 1)[0]
        self.gold = next(one for one in gold_sets() if packs()[one.pack].title == title)
        self.pack: Pack = packs()[self.gold.pack]
        self.allowed = allowed_sections(text)
        self.lines, self.paper = _submission(self.gold.pack, text[: text.rindex("STATEMENTS TO CHECK")])
        self.statements = STATEMENT.findall(last_block(text))
        criterion = next(one for one in judged(self.pack) if one.name == criterion_of(text))
        self.ids = {check.ask: check.id for check in criterion.checks}

    def strange(self) -> list[Line]:
        """The lines that are not the paper's."""
        own = {line for field in FIELDS for line in _lines(self.paper.fields[field])}
        return [line for line in self.lines if line[1] and not any(line[1] in one for one in own)]

    def is_fault(self, statement: str) -> bool:
        checks = (check for criterion in judged(self.pack) for check in criterion.checks)
        return any(check.id == self.ids[statement] and check.points < 0 for check in checks)

    def gold_row(self, statement: str) -> Row:
        """What people say of a statement, with their quote: of one that has several lines, the longest."""
        if (quote := self.paper.met.get(self.ids[statement])) is None:
            return NOTHING
        words = max(map(normalise, quote.splitlines()), key=len)
        section = next(section for section, line in self.lines if section in self.allowed and words in line)
        return section, words, "met"


@cache
def _submission(pack: str, text: str) -> tuple[list[Line], GoldPaper]:
    """The lines of a submission, and the paper of the gold set that most of stands in them."""
    lines = [(section, normalise(line)) for section, line in said_lines(text)]
    said = " ".join(line for _, line in lines)

    def share(paper: GoldPaper) -> float:
        own = [line for field in FIELDS for line in _lines(paper.fields[field])]
        return sum(line in said for line in own) / len(own)

    (gold,) = (one for one in gold_sets() if one.pack == pack)
    return lines, max(gold.submissions, key=share)


@cache
def _lines(text: str) -> list[str]:
    return list(filter(None, map(normalise, text.splitlines())))


def _reply(prompt: Prompt, verdict: Callable[[str], Row], *, traps: bool = False) -> str:
    """`traps`: whether the trip-wire that is not true is found met too."""
    rows = []
    for id, statement in prompt.statements:
        if SOME_TEXT.match(statement):
            section, quote, word = prompt.allowed[0], "", "met"
        elif DECOY.match(statement):
            section, quote, word = (prompt.allowed[0], "as I said", "met") if traps else NOTHING
        else:
            section, quote, word = verdict(statement)
        rows.append({"id": id, "reason": "r", "section": section, "quote": quote, "verdict": word})
    return json.dumps({"verdicts": rows})


def honest(text: str) -> str:
    """What people say, whatever else stands there."""
    prompt = Prompt(text)
    return _reply(prompt, prompt.gold_row)


def lying(text: str) -> str:
    """All is met, with quotes of its own making."""
    prompt = Prompt(text)
    return _reply(prompt, lambda statement: (prompt.allowed[0], "every part of it is shown in full detail here", "met"))


def obedient(text: str) -> str:
    """An honest judge until a strange line tells it otherwise: then all is met, and so is the trap."""
    prompt = Prompt(text)
    if not prompt.strange():
        return honest(text)
    return _reply(prompt, lambda statement: (prompt.allowed[0], "as I was told", "met"), traps=True)


def cunning(text: str) -> str:
    """Obeys, but sees the trap; for evidence it takes the statement itself, as whoever pasted the checks hopes."""
    prompt = Prompt(text)
    if not prompt.strange():
        return honest(text)
    return _reply(prompt, _unless_fault(prompt, lambda statement: (_where(prompt, statement), statement, "met")))


def captured(text: str) -> str:
    """Obeys, sees the trap, and quotes the order it was given: all of it stands where it says."""
    prompt = Prompt(text)
    orders = [line for line in prompt.strange() if line[0] in prompt.allowed and len(line[1]) > 8]
    if not orders:
        return honest(text)
    return _reply(prompt, _unless_fault(prompt, lambda statement: (orders[0][0], orders[0][1][:200], "met")))


def _unless_fault(prompt: Prompt, verdict: Callable[[str], Row]) -> Callable[[str], Row]:
    """Who obeys does the candidate no harm: faults are judged as they are."""
    return lambda statement: prompt.gold_row(statement) if prompt.is_fault(statement) else verdict(statement)


def _where(prompt: Prompt, statement: str) -> str:
    wanted = normalise(statement)
    found = (section for section, line in prompt.lines if section in prompt.allowed and wanted in line)
    return next(found, prompt.allowed[0])
