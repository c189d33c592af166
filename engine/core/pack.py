"""A question pack as frozen values: statement, clarification rules, rubric. Its text, hash and faults."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from protocol.words import FIELDS, Field, Language

from engine.core.pack_yaml import Mark, PackError, Tree, read_tree

__all__ = ["FIELDS", "Field", "Pack", "PackError", "decode_pack", "encode_pack", "pack_hash", "parse_pack"]

WEIGHTS_SUM: Final = 100
LEVELS: Final = 4

Slug = Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=40)]
Id = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=40)]
Line = Annotated[str, Meta(pattern=r"^\S[^\n]*$", max_length=300)]
Text = Annotated[str, Meta(min_length=1, max_length=4_000)]
Count = Annotated[int, Meta(ge=1, le=100)]
Size = Annotated[int, Meta(ge=0, le=20_000)]
Version = Annotated[int, Meta(ge=1, le=1_000_000)]
Percent = Annotated[int, Meta(ge=0, le=100)]

Status = Literal["draft", "coming_soon", "published", "retired"]
Access = Literal["free", "locked"]
Difficulty = Literal["easy", "medium", "hard"]
PackType = Literal["LLD", "HLD"]


class PackValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a pack. Defaults mean "nothing", so a field added later leaves old packs their hash."""


class Company(PackValue, frozen=True):
    """Where the question was met: who asked, when, and how we know."""

    name: Line
    year: Annotated[int, Meta(ge=2000, le=2100)]
    source: Line


class TimeLimits(PackValue, frozen=True):
    clarify_seconds: Annotated[int, Meta(ge=30, le=7_200)]
    design_seconds: Annotated[int, Meta(ge=60, le=21_600)]


class Section(PackValue, frozen=True):
    """One field of the draft: what the candidate sees above it, and when it counts as filled."""

    label: str = ""
    hint: str = ""
    required: bool = False
    min_chars: Size = 0
    min_items: Annotated[int, Meta(ge=0, le=100)] = 0


class Sections(PackValue, frozen=True):
    """The seven fields of the draft, in table order."""

    functional_req: Section = Section()
    non_functional_req: Section = Section()
    entities: Section = Section()
    classes_and_relationships: Section = Section()
    apis: Section = Section()
    code: Section = Section()
    extra: Section = Section()

    def items(self) -> tuple[tuple[Field, Section], ...]:
        """Each field with its section, in table order."""
        return tuple((field, getattr(self, field)) for field in FIELDS)


class Rule(PackValue, frozen=True):
    """What may be asked, the answer everyone gets, and how often. `weight`: how much asking it matters."""

    intent: Name
    label: Line
    response: Text
    examples: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=50)]
    weight: Annotated[int, Meta(ge=1, le=10)] = 1
    max_questions: Count = 1
    keywords: Annotated[tuple[Line, ...], Meta(max_length=30)] = ()


class Decline(PackValue, frozen=True):
    """A topic that is never answered: it draws near misses away from the rules."""

    topic: Name
    examples: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=50)]


class EvalItem(PackValue, frozen=True):
    """A held-out question and the rule that should answer it; null: none should."""

    q: Line
    intent: Name | None


class Clarification(PackValue, frozen=True):
    """The rules of the clarifying phase; `max_questions` is for the whole interview."""

    max_questions: Annotated[int, Meta(ge=0, le=100)] = 0
    fallback: str = ""
    settled: str = ""
    synonyms: tuple[Annotated[tuple[Line, ...], Meta(min_length=2, max_length=30)], ...] = ()
    rules: Annotated[tuple[Rule, ...], Meta(max_length=40)] = ()
    declines: Annotated[tuple[Decline, ...], Meta(max_length=40)] = ()
    skip_declines: tuple[Name, ...] = ()
    """Topics of the default library that this question does answer."""
    eval: Annotated[tuple[EvalItem, ...], Meta(max_length=500)] = ()


class Asked(PackValue, frozen=True, tag_field="of", tag="asked"):
    """Met when the candidate was answered this intent."""

    intent: Name


class Filled(PackValue, frozen=True, tag_field="of", tag="filled"):
    """Met when this field reaches its section's minimum."""

    field: Field


class Named(PackValue, frozen=True, tag_field="of", tag="named"):
    """Met when at least this share of the classes listed in `entities` occurs in the code."""

    percent: Annotated[int, Meta(ge=1, le=100)]


class Check(PackValue, frozen=True):
    """One yes/no question about a submission. `count`: how code answers it; without it a judge does."""

    id: Id
    points: Annotated[int, Meta(ge=-10, le=10)]
    ask: Line
    count: Asked | Filled | Named | None = None


class Criterion(PackValue, frozen=True):
    """A weighted part of the rubric; `levels` describes 0 to 3 for people, beside the points."""

    id: Id
    name: Line
    weight: Percent
    kind: Literal["counted", "judged"]
    levels: Annotated[tuple[Line, ...], Meta(min_length=LEVELS, max_length=LEVELS)]
    checks: Annotated[tuple[Check, ...], Meta(min_length=1, max_length=20)]
    evidence: tuple[Field, ...] = ()


class PassMark(PackValue, frozen=True):
    """The total, 0 to 100, from which an interview is passed at a level."""

    mid: Percent
    senior: Percent


class Rubric(PackValue, frozen=True):
    version: Version = 1
    pass_mark: PassMark = PassMark(mid=60, senior=72)
    criteria: Annotated[tuple[Criterion, ...], Meta(max_length=20)] = ()


class Reference(PackValue, frozen=True):
    """Shown after judging: a guide, never "the" answer."""

    must_consider: tuple[Line, ...] = ()
    accepted_variants: tuple[Line, ...] = ()
    common_mistakes: tuple[Line, ...] = ()


class Hint(PackValue, frozen=True):
    cost: Annotated[int, Meta(ge=0, le=20)]
    text: Line


class Pack(PackValue, frozen=True):
    """One question. Only a `published` pack must be complete."""

    schema: Literal["interview-pack/1"]
    id: Slug
    version: Version
    title: Line
    type: PackType
    difficulty: Difficulty
    status: Status
    statement: Text
    time_limits: TimeLimits
    access: Access = "free"
    companies: tuple[Company, ...] = ()
    tags: tuple[Slug, ...] = ()
    languages: tuple[Language, ...] = ()
    sections: Sections = Sections()
    clarification: Clarification = Clarification()
    rubric: Rubric = Rubric()
    reference: Reference = Reference()
    hints: tuple[Hint, ...] = ()

    @property
    def playable(self) -> bool:
        """Whether an interview may be started on it."""
        return self.status == "published" and self.access == "free"


class Fault(PackValue, frozen=True):
    """Something wrong with a pack: where, as a path such as `rubric.criteria[2].weight`, and what."""

    place: str
    message: str


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(Pack)
_FIELD: Final = re.compile(r"^Object (contains unknown|missing required) field `([^`]*)`$")
_LAST_STEP: Final = re.compile(r"(\.[^.\[\]]+|\[\d+\]|^[^.\[\]]+)$")
_AT: Final = re.compile(r" - at `(key in )?\$\.?(.*?)`$")


def parse_pack(text: str | bytes) -> Pack:
    """A pack from YAML. Raises PackError that names the place, the line and the column."""
    tree = read_tree(text)
    try:
        pack = msgspec.convert(tree.value, Pack)
    except msgspec.ValidationError as error:
        raise _located(str(error), tree) from error
    for fault in faults(pack):
        raise PackError(fault.place, fault.message, _mark_of(fault.place, tree))
    return pack


def encode_pack(pack: Pack) -> bytes:
    """The canonical JSON of a pack, for `question_packs`: one pack, the same bytes on every node."""
    return _ENCODER.encode(pack)


def decode_pack(body: bytes | str) -> Pack:
    """The inverse of encode_pack. Raises PackError."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackError("", f"not a stored pack: {error}") from error


def pack_hash(pack: Pack) -> str:
    """SHA-256, in hex, of encode_pack(pack)."""
    return hashlib.sha256(encode_pack(pack)).hexdigest()


def _located(message: str, tree: Tree) -> PackError:
    """msgspec ends its messages with "- at `$.a[0].b`"; a pack's author reads the place first."""
    found = _AT.search(message)
    place, message = found.group(2) if found else "", _AT.sub("", message)
    if about := _FIELD.search(message):
        place = f"{place}.{about.group(2)}" if place else about.group(2)
        message = "unknown key" if about.group(1) == "contains unknown" else "missing"
    return PackError(place, message, _mark_of(place, tree))


def _mark_of(place: str, tree: Tree) -> Mark | None:
    while place and place not in tree.marks:
        place = _LAST_STEP.sub("", place)
    return tree.marks.get(place)


def faults(pack: Pack) -> Iterator[Fault]:
    """What would break an interview on this pack; nothing for a pack from parse_pack."""
    if pack.playable:
        yield from _missing(pack)
    yield from _clarification_faults(pack.clarification)
    yield from _rubric_faults(pack.rubric, {rule.intent for rule in pack.clarification.rules})


def _missing(pack: Pack) -> Iterator[Fault]:
    """A published pack must be complete."""
    needed: dict[str, object] = {
        "languages": pack.languages,
        "clarification.max_questions": pack.clarification.max_questions,
        "clarification.fallback": pack.clarification.fallback.strip(),
        "clarification.settled": pack.clarification.settled.strip(),
        "clarification.rules": pack.clarification.rules,
        "rubric.criteria": pack.rubric.criteria,
    }
    for field, section in pack.sections.items():
        needed[f"sections.{field}.label"] = section.label.strip()
    for place, value in needed.items():
        if not value:
            yield Fault(place=place, message="a published pack needs this")


def _repeated(places: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for place, name in places:
        if first.setdefault(name, place) != place:
            yield Fault(place=place, message=f"`{name}` stands already at {first[name]}")


def _clarification_faults(clarification: Clarification) -> Iterator[Fault]:
    at = "clarification"
    rules, declines = clarification.rules, clarification.declines
    yield from _repeated((f"{at}.rules[{i}].intent", rule.intent) for i, rule in enumerate(rules))
    yield from _repeated((f"{at}.declines[{i}].topic", decline.topic) for i, decline in enumerate(declines))
    known = {rule.intent for rule in rules}
    for i, item in enumerate(clarification.eval):
        if item.intent is not None and item.intent not in known:
            yield Fault(place=f"{at}.eval[{i}].intent", message=f"no rule has the intent `{item.intent}`")


def _rubric_faults(rubric: Rubric, intents: set[str]) -> Iterator[Fault]:
    criteria = rubric.criteria
    if criteria and (weights := sum(criterion.weight for criterion in criteria)) != WEIGHTS_SUM:
        yield Fault(place="rubric.criteria", message=f"the weights sum to {weights}, not {WEIGHTS_SUM}")
    if rubric.pass_mark.mid > rubric.pass_mark.senior:
        yield Fault(place="rubric.pass_mark", message="the mark for mid is above the one for senior")
    yield from _repeated((f"rubric.criteria[{i}].id", criterion.id) for i, criterion in enumerate(criteria))
    yield from _repeated(
        (f"rubric.criteria[{i}].checks[{j}].id", check.id)
        for i, criterion in enumerate(criteria)
        for j, check in enumerate(criterion.checks)
    )
    for i, criterion in enumerate(criteria):
        yield from _criterion_faults(criterion, f"rubric.criteria[{i}]", intents)


def _criterion_faults(criterion: Criterion, at: str, intents: set[str]) -> Iterator[Fault]:
    if not any(check.points > 0 for check in criterion.checks):
        yield Fault(place=f"{at}.checks", message="no check has points above 0")
    if criterion.kind == "judged" and not criterion.evidence:
        yield Fault(place=f"{at}.evidence", message="a judged criterion names the fields that may hold evidence")
    yield from _repeated((f"{at}.evidence[{i}]", field) for i, field in enumerate(criterion.evidence))
    for i, check in enumerate(criterion.checks):
        place = f"{at}.checks[{i}]"
        if check.points == 0:
            yield Fault(place=f"{place}.points", message="0 points decide nothing")
        if (check.count is None) == (criterion.kind == "counted"):
            wanted = "needs a `count`" if check.count is None else "cannot have a `count`"
            yield Fault(place=f"{place}.count", message=f"a check of a {criterion.kind} criterion {wanted}")
        if isinstance(check.count, Asked) and check.count.intent not in intents:
            yield Fault(place=f"{place}.count.intent", message=f"no rule has the intent `{check.count.intent}`")
