"""A judge on trial: what the figures say of judges whose faults are known, and what the defences prevent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.evidence import ECHO, UNSUPPORTED, triviality
from engine.core.pack import Criterion
from engine.core.prompt import ask
from engine.core.reply import ReplyFault, parse_reply
from engine.judging.judge import Case, Judge, Judged, JudgeError, Written
from engine.judging.judge_offline import OfflineJudge
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.trial import figures
from engine.judging.trial.gold import Attack, GoldError, GoldSet, attacked, judged, read_attacks, read_gold, spread_over
from engine.judging.trial.odd import ODD
from engine.judging.trial.report import Report, report
from engine.judging.trial.run import Court, papers_of, try_judge
from protocol.events import Judge as JudgeName
from tests.core.shipped import packs, playable
from tests.fake_model import FakeModel, Step
from tests.judging.readers import captured, corpus, cunning, gold_sets, honest, lying, obedient

GARAGE_GOLD = [gold for gold in gold_sets() if gold.pack == "parking-garage"]
NAMES = ("weak", "middling", "strong", "adversarial")
SOME_ATTACKS = 24  # one of each family at least; `engine judge bench` has them all
Reader = Callable[[str], str]


class Desk:
    """A judge with a reader at hand: all of the prompt and the reply, without a server between."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def name(self) -> JudgeName:
        return "openai"

    def describe(self) -> dict[str, Any]:
        return {"provider": "desk"}

    async def judge_criterion(self, case: Case, criterion: Criterion) -> Judged:
        asking = ask(case.pack, criterion, case.submission, case.mark)
        verdicts = parse_reply(self._reader(asking.messages[1]["content"]), asking)
        if isinstance(verdicts, ReplyFault):
            raise JudgeError(verdicts.code)
        return Judged(verdicts)

    async def narrate(self, title: str, findings: Sequence[str], on_text: Callable[[str], None]) -> Written:
        return Written("")


async def tried(
    judge: Judge,
    *names: str,
    attacks: int = 0,
    family: str = "",
    sets: Sequence[GoldSet] = GARAGE_GOLD,
    forms: Sequence[str] = (),
) -> Report:
    """The papers of these names, so many attacks, and these odd forms."""
    papers = [tuple(paper for paper in gold.submissions if paper.name in names) for gold in sets]
    some = [msgspec.structs.replace(gold, submissions=papers) for gold, papers in zip(sets, papers, strict=True)]
    chosen = spread_over([attack for attack in corpus() if family in ("", attack.family)], attacks)
    court = Court(judge=judge, papers=4, calls=4, paper_seconds=20)
    return report(judge, await try_judge(court, packs(), some, chosen, 1, forms), 0.0)


# --- the data ---


def test_the_corpus_is_large_and_of_many_kinds() -> None:
    attacks = corpus()
    assert len(attacks) >= 200
    assert len({str(attack.parts) for attack in attacks}) == len(attacks)
    families = [attack.family for attack in attacks]
    assert len(set(families)) >= 15
    assert min(map(families.count, families)) >= 5
    assert {field for attack in attacks for field in attack.parts} == {
        "functional_req", "non_functional_req", "entities", "classes_and_relationships", "apis", "code", "extra",
    }  # fmt: skip
    assert len({attack.family for attack in spread_over(attacks, SOME_ATTACKS)}) == len(set(families))


def test_what_attacks_stand_for_is_filled_in() -> None:
    paper, pack = GARAGE_GOLD[0].submissions[0], packs()["parking-garage"]
    for attack in corpus():
        text = attacked(paper, attack, pack, paper.met).fields
        changed = {field for field in text if text[field] != paper.fields[field]}
        assert changed == set(attack.parts)
        assert not any(name in str(text) for name in ("{ask}", "{asks}", "{ids}", "{criterion}", "{title}"))


@pytest.mark.parametrize("pack", playable(), ids=lambda pack: pack.id)
def test_every_pack_that_can_be_played_has_a_gold_set(pack: Any) -> None:
    (gold,) = [one for one in gold_sets() if one.pack == pack.id]
    assert [paper.name for paper in gold.submissions] == list(NAMES)
    assert all(triviality(paper.fields, pack) is None for paper in gold.submissions)
    checks = {check.id for criterion in judged(pack) for check in criterion.checks}
    strong = next(paper for paper in gold.submissions if paper.name == "strong")
    assert len(strong.met) >= 0.8 * sum(check.points > 0 for c in judged(pack) for check in c.checks)
    never = checks - {id for paper in gold.submissions for id in paper.met}
    assert len(never) <= 6  # hardly a check on which a judge could only err to one side


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("pack: p", "pack: q"), "no pack q"),
        (("C2.a:", "C9.a:"), "C9.a is no judged check"),
        (("tells states", "tells stages"), "the words for C2.a stand in none of its sections"),
        (("name: weak", "name: weak\n    points: 3"), "unknown field `points`"),
    ],
)
def test_a_gold_set_that_is_wrong_is_refused(change: tuple[str, str], says: str) -> None:
    text = "pack: p\nsubmissions:\n  - name: weak\n    functional_req: tells states\n    met: {C2.a: tells states}\n"
    known = {"p": packs()["parking-garage"]}
    assert read_gold(text, known).submissions[0].name == "weak"
    with pytest.raises(GoldError, match=says):
        read_gold(text.replace(*change, 1), known)


def test_texts_without_a_place_are_refused() -> None:
    with pytest.raises(GoldError, match="need fields"):
        read_attacks("families: [{family: f, texts: [a]}]")


# --- judges whose faults are known, over HTTP ---


async def test_who_says_what_people_say_agrees_with_them(judge: OpenAIJudge, model: FakeModel) -> None:
    model.reader = honest
    said = await tried(judge, *NAMES)
    assert (said.agreement, said.kappa, said.score_error, said.score_bias) == (1, 1, 0, 0)
    assert said.refused == {} and said.failures == {} and said.claims > 50
    assert said.calls == len(model.calls) == 4 * len(judged(packs()["parking-garage"]))


async def test_who_obeys_orders_is_found_out(judge: OpenAIJudge, model: FakeModel) -> None:
    """A judge that marks all as met marks the trap too: no result, and none moved."""
    model.reader = obedient
    said = await tried(judge, "weak", attacks=SOME_ATTACKS)
    assert said.attacks_moved == 0
    assert said.failures["captured"] > SOME_ATTACKS * 0.8
    assert said.attacks_judged + said.failures["captured"] >= SOME_ATTACKS


async def test_who_makes_up_quotes_gives_next_to_nothing(judge: OpenAIJudge, model: FakeModel) -> None:
    model.reader = lying
    said = await tried(judge, *NAMES)
    assert said.refused == {UNSUPPORTED: said.claims} and said.claims > 100
    assert all(max(paper.judge) <= 15 for paper in said.papers)  # what was counted, and no more
    assert said.kappa == 0


async def test_70_no_call_holds_two_submissions(judge: OpenAIJudge, model: FakeModel) -> None:
    """Four papers at a time, on one connection pool: each request is of one paper, and says nothing of another."""
    papers = GARAGE_GOLD[0].submissions
    marked = tuple(msgspec.structs.replace(one, extra=f"{one.extra}\ncanary-{one.name}-yellow") for one in papers)
    await tried(judge, *NAMES, sets=[msgspec.structs.replace(GARAGE_GOLD[0], submissions=marked)])
    asked = [call.body["messages"] for call in model.calls]
    assert all([message["role"] for message in messages] == ["system", "user"] for messages in asked)
    held = [{name for name in NAMES if f"canary-{name}-yellow" in str(messages)} for messages in asked]
    assert [len(names) for names in held] == [1] * len(asked)
    assert len({name for names in held for name in names}) == len(NAMES)


async def test_a_server_that_is_away_ends_the_trial(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(status=500, times=1_000))
    with pytest.raises(JudgeError, match="unavailable"):
        await tried(judge, "weak", attacks=3)


# --- the same prompts and replies, without a server ---


async def test_all_gold_sets_can_be_agreed_with_however_odd_they_look() -> None:
    """The defences cost honest texts nothing: of the counted checks, a line more may fill a section."""
    said = await tried(Desk(honest), *NAMES, sets=gold_sets(), forms=["tree"])
    said_of_one = await tried(Desk(honest), "strong", forms=list(ODD))
    assert (said.agreement, said.kappa, said.score_error) == (1, 1, 0)
    assert (said.drift, said.drift_worst, said.odd) == (0, 0, 2 * 3)
    assert said_of_one.drift_worst is not None and abs(said_of_one.drift_worst) < 0.5
    assert said_of_one.refused == {}
    totals = {name: [paper.people for paper in said.papers if paper.name == name] for name in NAMES}
    assert max(totals["weak"]) < 20 < 50 < min(totals["middling"]) < 80 < min(totals["strong"])


async def test_checks_pasted_into_a_submission_move_nothing() -> None:
    """The judge obeys, sees the trap, and takes each pasted check for its own evidence."""
    said = await tried(Desk(cunning), "weak", attacks=12, family="pasted_checks")
    assert said.attacks_judged == 12 and said.attacks_moved == 0
    assert said.refused[ECHO] > 30


async def test_what_code_cannot_see_the_trial_shows() -> None:
    """A judge that obeys, sees the trap and quotes the order itself: its quotes stand where it says. It is measured."""
    said = await tried(Desk(captured), "weak", attacks=SOME_ATTACKS)
    assert said.attacks_moved > 10
    assert max(family.worst for family in said.attacks.values()) > 30


async def test_offline_nobody_is_asked() -> None:
    said = await tried(OfflineJudge(), "weak", attacks=SOME_ATTACKS)
    assert said.calls == 0 and said.failures == {}
    assert said.attacks_judged == SOME_ATTACKS


def test_papers_are_counted_before() -> None:
    assert papers_of(GARAGE_GOLD, 3, 7) == 3 * 4 + 2 * len(ODD) + 7


# --- arithmetic ---


@pytest.mark.parametrize(
    ("pairs", "agreed", "kappa"),
    [
        ([], None, None),
        ([(True, True), (False, False)], 1, 1),
        ([(True, False), (False, True)], 0, -1),
        ([(True, True)] * 4, 1, None),
        ([(True, True), (True, False), (False, False), (False, False)], 0.75, 0.5),
        ([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15, 0.7, 0.4),
    ],
)
def test_agreement_and_kappa(pairs: list[tuple[bool, bool]], agreed: float | None, kappa: float | None) -> None:
    """The last: Cohen's kappa as worked out in textbooks (50 cases, 0.7 observed, 0.5 by chance)."""
    assert figures.agreement(pairs) == pytest.approx(agreed)
    assert figures.kappa(pairs) == pytest.approx(kappa)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_kappa_is_one_for_the_same_and_never_above(pairs: list[figures.Pair]) -> None:
    same = [(people, people) for people, _ in pairs]
    kappa = figures.kappa(pairs)
    assert kappa is None or -1 <= kappa <= 1
    assert figures.kappa(same) in (None, 1)
    assert figures.kappa([(judge, people) for people, judge in pairs]) == pytest.approx(kappa)


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_bound_is_above_what_happened(happened: int, more: int) -> None:
    tries = happened + more
    bound = figures.at_most(happened, tries)
    assert bound is not None and happened / tries < bound <= 1


def test_what_never_happened_may_still_happen_sometimes() -> None:
    assert figures.at_most(0, 0) is None
    assert figures.at_most(0, 266) == pytest.approx(0.0101, abs=0.0005)
    assert figures.at_most(5, 100) == pytest.approx(0.099, abs=0.005)
    assert figures.at_most(3, 3) == 1


def test_repeats_are_compared() -> None:
    assert figures.spread([[50.0], [60.0]]) is None
    assert figures.spread([[50.0, 50.0], [40.0, 60.0], [1.0]]) == 5
    none: frozenset[str] = frozenset()
    runs = [[frozenset("ab"), frozenset("a")], [frozenset("c")], [none, none]]
    assert figures.flipped(runs, [10, 10, 10]) == 1 / 20


def test_an_attack_in_two_fields_goes_to_both() -> None:
    attack = Attack("f", {"code": "A", "extra": "B {title}"})
    paper = GARAGE_GOLD[0].submissions[0]
    changed = attacked(paper, attack, packs()["parking-garage"], ())
    assert changed.code.endswith("\nA") and changed.extra.endswith("\nB Multi-level parking garage")
