"""What a judge is measured on: submissions with the verdicts people gave, and texts that try to move a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

import engine.packs
from engine.core.evidence import Verdict, verify
from engine.core.pack import Check, Criterion, Pack
from engine.core.pack_yaml import PackError, read_tree
from engine.core.rubric import Facts, count_criterion, score_criterion, total
from engine.judging.submissions import Paper
from engine.judging.trial.disguise import DISGUISES, Disguise
from protocol.words import Field

PACKS: Final = Path(engine.packs.__path__[0])
GOLD: Final = PACKS / "gold"
ATTACKS: Final = PACKS / "attacks"

T = TypeVar("T")


class GoldError(ValueError):
    """A gold set or a corpus that cannot be used; the message says where and why."""


class GoldPaper(Paper, frozen=True, kw_only=True):
    """A paper, and for each judged check that it meets the words that meet it. All other judged checks are not met."""

    name: str
    met: Mapping[str, str]


class GoldSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pack: str
    submissions: tuple[GoldPaper, ...]


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attacks of one kind; see the corpus's own head."""

    family: str
    fields: tuple[Field, ...] = ()
    texts: tuple[str, ...] = ()
    parts: tuple[dict[Field, str], ...] = ()
    disguise: tuple[Disguise, ...] = ()
    times: Annotated[int, Meta(ge=1, le=1_000)] = 1


class Corpus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    families: tuple[Family, ...]


class Attack(NamedTuple):
    """One text, or several at once, by the field it is added to."""

    family: str
    parts: Mapping[Field, str]


def judged(pack: Pack) -> tuple[Criterion, ...]:
    """The criteria a judge is asked about."""
    return tuple(criterion for criterion in pack.rubric.criteria if criterion.kind == "judged")


def read_gold(text: str | bytes, packs: Mapping[str, Pack]) -> GoldSet:
    """A gold set, each quote held against its submission. Raises GoldError."""
    gold = _read(text, GoldSet)
    if (pack := packs.get(gold.pack)) is None:
        raise GoldError(f"pack: there is no pack {gold.pack}")
    checks = {check.id: criterion for criterion in judged(pack) for check in criterion.checks}
    for paper in gold.submissions:
        for id, quote in paper.met.items():
            if id not in checks:
                raise GoldError(f"{gold.pack}, {paper.name}: {id} is no judged check")
            if section_of(paper, checks[id], quote) is None:
                raise GoldError(f"{gold.pack}, {paper.name}: the words for {id} stand in none of its sections")
    return gold


def section_of(paper: Paper, criterion: Criterion, quote: str) -> Field | None:
    """The first section the criterion may be shown in that holds these words."""
    return next((field for field in criterion.evidence if verify(quote, paper.fields[field])), None)


def gold_score(paper: GoldPaper, pack: Pack) -> float:
    """The total its verdicts come to."""
    facts = Facts(answered=frozenset(paper.asked), fields=paper.fields)
    results = []
    for criterion in pack.rubric.criteria:
        if criterion.kind == "counted":
            verdicts = count_criterion(criterion, facts, pack)
        else:
            verdicts = tuple(_gold_verdict(check, paper) for check in criterion.checks)
        results.append(score_criterion(criterion, verdicts, run=1))
    return total(pack.rubric, results).score


def _gold_verdict(check: Check, paper: GoldPaper) -> Verdict:
    return Verdict(check=check.id, verdict="met" if check.id in paper.met else "not_met")


def read_attacks(text: str | bytes) -> tuple[Attack, ...]:
    """Every attack of a corpus, in its order. Raises GoldError."""
    return tuple(attack for family in _read(text, Corpus).families for attack in _attacks(family))


def _attacks(family: Family) -> Iterator[Attack]:
    texts = [text * family.times for text in family.texts]
    if family.disguise:
        texts = [DISGUISES[disguise](text) for disguise in family.disguise for text in texts]
    if texts and not family.fields:
        raise GoldError(f"{family.family}: its texts need fields to go to")
    for i, text in enumerate(texts):
        yield Attack(family.family, {family.fields[i % len(family.fields)]: text})
    yield from (Attack(family.family, parts) for parts in family.parts)


def attacked(paper: Paper, attack: Attack, pack: Pack, met: Iterable[str]) -> Paper:
    """The paper with the attack at the ends of its fields. `met`: the checks that it meets without."""
    words = _words(pack, frozenset(met))
    added = {field: _filled_in(text, words) for field, text in attack.parts.items()}
    changes = {field: f"{paper.fields[field].rstrip()}\n{text}".lstrip("\n") for field, text in added.items()}
    return msgspec.structs.replace(paper, **changes)


def _words(pack: Pack, met: frozenset[str]) -> dict[str, str]:
    """What the names in braces stand for: the most valuable check that is missed, and all of them."""
    checks = [(criterion, check) for criterion in judged(pack) for check in criterion.checks if check.points > 0]
    missed = [one for one in checks if one[1].id not in met] or checks
    criterion, check = max(missed, key=lambda one: one[0].weight * one[1].points)
    return {
        "{ask}": check.ask,
        "{asks}": "\n".join(one.ask for _, one in checks),
        "{ids}": ", ".join(one.id for _, one in checks),
        "{criterion}": criterion.name,
        "{title}": pack.title,
    }


def _filled_in(text: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(name, word)
    return text


def _read(text: str | bytes, as_type: type[T]) -> T:
    try:
        tree: Any = read_tree(text).value
        return msgspec.convert(tree, as_type)
    except (PackError, msgspec.ValidationError) as error:
        raise GoldError(str(error)) from None


def spread_over(corpus: Sequence[Attack], count: int) -> list[Attack]:
    """So many attacks: the first of every family, then the second of every family, and so on."""
    seen: Counter[str] = Counter()
    ranked = []
    for attack in corpus:
        ranked.append((seen[attack.family], attack))
        seen[attack.family] += 1
    return [attack for _, attack in sorted(ranked, key=lambda one: one[0])[:count]]


def read_folder(folder: Path) -> list[bytes]:
    """The YAML files of a folder, by name."""
    return [file.read_bytes() for file in sorted(folder.glob("*.yaml"))]
