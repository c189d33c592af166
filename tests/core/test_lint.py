"""Lint: shipped packs are clean, and each thing an author may get wrong is named where it stands."""

from __future__ import annotations

import msgspec
import pytest

from engine.core.lint import EvalReport, Finding, evaluate, lint
from engine.core.pack import Clarification, EvalItem, Pack, parse_pack
from tests.core.shipped import SMALL, packs, playable

GARAGE = packs()["parking-garage"]


def changed(**changes: object) -> Pack:
    """The garage with another clarification."""
    return msgspec.structs.replace(GARAGE, clarification=msgspec.structs.replace(GARAGE.clarification, **changes))


def errors(pack: Pack) -> dict[str, str]:
    return {found.place: found.message for found in lint(pack) if found.severity == "error"}


@pytest.mark.parametrize("pack", packs().values(), ids=lambda pack: pack.id)
def test_shipped_packs_are_clean(pack: Pack) -> None:
    assert lint(pack) == ()


@pytest.mark.parametrize("pack", playable(), ids=lambda pack: pack.id)
def test_shipped_packs_are_complete(pack: Pack) -> None:
    clarification = pack.clarification
    assert 8 <= len(clarification.rules) <= 10
    assert all(len(rule.examples) >= 10 for rule in clarification.rules)
    assert 8 <= len(pack.rubric.criteria) <= 10
    assert len(clarification.eval) >= 24
    assert {"counted", "judged"} == {criterion.kind for criterion in pack.rubric.criteria}


def test_the_eval_sets_together_hold_their_floors() -> None:
    """Measured: 38 of 60 find their rule, 29 at once, 2 of 90 are answered wrongly."""
    reports = [evaluate(pack.clarification) for pack in playable()]
    sum_of = dict(zip(EvalReport._fields, map(sum, zip(*reports, strict=True)), strict=True))
    assert sum_of["asked"] == 60
    assert sum_of["found"] >= 36
    assert sum_of["answered"] >= 27
    assert sum_of["wrong"] <= 3


def test_too_few_phrasings() -> None:
    rule = msgspec.structs.replace(GARAGE.clarification.rules[0], examples=("which vehicles",))
    found = errors(changed(rules=(rule, *GARAGE.clarification.rules[1:])))
    assert found["clarification.rules[0].examples"] == "1 phrasings; at least 8"


def test_a_phrasing_of_two_rules_and_an_eval_question_that_is_a_phrasing() -> None:
    first, second, *rest = GARAGE.clarification.rules
    second = msgspec.structs.replace(second, examples=(*second.examples, first.examples[0].upper() + "?"))
    item = EvalItem(q="How many floors are THERE?", intent="floors_and_gates")
    found = errors(changed(rules=(first, second, *rest), eval=(*GARAGE.clarification.eval, item)))
    at = f"clarification.rules[1].examples[{len(second.examples) - 1}]"
    assert found[at] == "the same words stand at clarification.rules[0].examples[0]"
    assert "rules[2].examples[0]" in found[f"clarification.eval[{len(GARAGE.clarification.eval)}].q"]


def test_an_eval_set_that_is_small_lenient_or_has_gaps() -> None:
    items = GARAGE.clarification.eval
    asked = tuple(item for item in items if item.intent is not None)
    assert "at least 24" in errors(changed(eval=items[:5]))["clarification.eval"]
    assert "have no rule" in str(lint(changed(eval=asked + asked[:8])))
    pricing = tuple(item for item in items if item.intent != "pricing")
    assert errors(changed(eval=pricing))["clarification.eval"] == "no question for `pricing`"


def test_rules_that_answer_each_others_questions_miss_the_floors() -> None:
    rules = GARAGE.clarification.rules
    shifted = tuple(
        msgspec.structs.replace(rule, intent=other.intent)
        for rule, other in zip(rules, rules[1:] + rules[:1], strict=True)
    )
    messages = [found.message for found in lint(changed(rules=shifted))]
    assert any("find their rule" in message for message in messages)
    assert any("answered with a wrong rule" in message for message in messages)


def test_an_unknown_topic_of_the_library() -> None:
    assert "no topic `weather`" in errors(changed(skip_declines=("weather",)))["clarification.skip_declines[0]"]


def test_levels_that_read_the_same_and_checks_without_a_full_stop() -> None:
    text = SMALL.replace("levels: [none, some, most, all]", "levels: [none, some, some, all]", 1)
    found = lint(parse_pack(text.replace("Names the states.", "Names the states")))
    assert Finding(place="rubric.criteria[0].levels", message="two levels read the same") in found
    said = [one for one in found if one.place == "rubric.criteria[1].checks[0].ask"]
    assert [one.severity for one in said] == ["warning", "warning"]
    assert "a full stop" in said[0].message
    assert "evidence of itself" in said[1].message  # three words: anybody's


def test_faults_of_a_pack_made_in_code_are_findings_too() -> None:
    broken = msgspec.structs.replace(GARAGE, clarification=Clarification())
    assert "clarification.rules" in errors(broken)
