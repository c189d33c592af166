"""A quote counts only when its words stand in the field it names; an empty draft is nothing to judge."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.evidence import (
    QUOTE_CHARS_MIN,
    Verdict,
    gate,
    is_quotable,
    normalise,
    triviality,
    unquotable,
    verify,
)
from engine.core.pack import FIELDS as FIELD_NAMES
from engine.core.pack import Field, Pack, parse_pack
from protocol.events import VerdictWord
from tests.core.shipped import SMALL, playable

PACK = parse_pack(SMALL)
SECTION = """\
- `SpotLock`: takes one “compare-and-set” — per floor;
  never two   vehicles in ONE spot.
- Größe: ﬁts small, large…
"""
WORDS = st.lists(st.text(alphabet="abcdefghij'’\"“-–éßﬁİ½", min_size=1, max_size=8), min_size=4, max_size=30)


@pytest.mark.parametrize(
    "quote",
    [
        'takes one "compare-and-set" - per floor',
        "NEVER two vehicles in one spot",
        "per floor; never two vehicles",
        "  never two\u00a0vehicles\tin one  spot. ",
        "never\u200b two vehi\u00adcles in one spot",
        "grösse: fits small, large...",
        '"never two vehicles in one spot."',
        "...one “compare-and-set” - per floor...",
        SECTION,
    ],
)
def test_what_stands_there_is_found_whatever_the_typography(quote: str) -> None:
    assert verify(quote, SECTION)


@pytest.mark.parametrize(
    "quote",
    [
        "",
        "   ",
        "…!?.;:—“”``",
        "a lock",
        "floor;",
        "never two cars in one spot",
        "never two vehicles ... in one spot",
        "vehicles two never in one spot",
        "never two vehiclesin one spot",
    ],
)
def test_what_does_not_stand_there_or_is_too_short_is_not(quote: str) -> None:
    assert not verify(quote, SECTION)


def test_a_short_quote_counts_when_it_is_the_whole_field() -> None:
    assert not verify("O(1)", "reads take O(1) time")
    assert verify("o(1)", " O(1)\n")
    assert not verify("!", "!")


@given(WORDS, st.data())
def test_any_run_of_a_fields_words_is_found_in_it_and_in_no_other(words: list[str], data: st.DataObject) -> None:
    text = "  \n ".join(words)
    start = data.draw(st.integers(0, len(words) - 1))
    quote = " ".join(words[start : data.draw(st.integers(start + 1, len(words)))])
    if len(normalise(quote)) >= QUOTE_CHARS_MIN and any(map(str.isalnum, normalise(quote))):
        assert verify(quote.upper() if quote.isascii() else quote, text)
    assert not verify(quote + " zz", text)


@given(st.text(max_size=60))
def test_the_compared_form_is_stable_and_holds_nothing_unseen(text: str) -> None:
    once = normalise(text)
    assert verify(text, text) or not any(char.isalnum() or char == "_" for char in once)
    assert once == once.strip()
    assert "\u200b" not in once


STATES = PACK.rubric.criteria[1]  # its evidence: entities and code
FIELDS: dict[Field, str] = {"entities": "a lock for each floor", "code": "with self.lock: take(spot)", "apis": "a lock"}
MET = Verdict(check="C2.a", verdict="met", section="entities", quote="lock for each floor", reason="It is there.")


def gated(verdict: Verdict, fields: dict[Field, str] = FIELDS, pack: Pack = PACK) -> Verdict:
    (after,) = gate((verdict,), fields, STATES, pack)
    return after


def test_a_supported_verdict_goes_through_untouched() -> None:
    assert gated(MET) is MET


@pytest.mark.parametrize(
    "changes",
    [
        {"quote": "lock for each gate"},
        {"quote": ""},
        {"section": None},
        {"section": "code"},
        {"section": "apis", "quote": "a lock"},
        {"quote": "each floor with self.lock"},
        {"verdict": "contradicted", "quote": "no lock at all"},
    ],
)
def test_a_verdict_without_its_quote_is_not_met_and_flagged(changes: dict[str, str | None]) -> None:
    verdict = gated(msgspec.structs.replace(MET, **changes))
    assert (verdict.verdict, verdict.flag) == ("not_met", "unsupported")


def test_not_met_needs_no_quote() -> None:
    verdict = Verdict(check="C2.a", verdict="not_met", reason="Absent.")
    assert gated(verdict) is verdict


ASK = "Coins are refused for as long as the motor of a slot turns."
TOLD = parse_pack(SMALL.replace("Rejects coins while it dispenses.", ASK))


@pytest.mark.parametrize(
    ("text", "quote", "flag"),
    [
        (ASK, ASK, "echo"),
        (ASK, "for as long as the motor of a slot turns", "echo"),
        (f"1) {ASK.upper()[:-1]} ✔", ASK, "echo"),
        ("coins are refused\n  for as long as the motor of a slot turns", "coins are refused for as long", "echo"),
        (PACK.statement, "a machine that sells snacks and gives change back", "echo"),
        (f"{ASK}\nif motor.turns: return coin", "if motor.turns: return coin", None),
        (f"{ASK}\nif motor.turns: return coin", "a slot turns. if motor.turns: return coin", "echo"),
        ("Coins are refused while the motor of a slot turns.", "Coins are refused while the motor", None),
        ("One class does everything.", "One class does everything.", None),
        ("It gives change when it can.", "It gives change when it can.", None),
    ],
)
def test_sentences_of_the_question_and_the_rubric_carry_nothing(text: str, quote: str, flag: str | None) -> None:
    """But a short one may be anybody's, and the answers given are there to be carried over."""
    verdict = gated(msgspec.structs.replace(MET, quote=quote), {"entities": text}, TOLD)
    assert verdict.flag == flag
    assert verdict.verdict == ("not_met" if flag else "met")


@pytest.mark.parametrize("pack", playable(), ids=lambda pack: pack.id)
def test_the_rubric_pasted_as_an_answer_meets_nothing(pack: Pack) -> None:
    """All checks in all fields, and a judge that takes each for its own evidence."""
    asks = [check.ask for criterion in pack.rubric.criteria for check in criterion.checks]
    fields: dict[Field, str] = dict.fromkeys(FIELD_NAMES, "\n".join(f"- {ask}" for ask in asks))
    kept = []
    for criterion in pack.rubric.criteria:
        if criterion.kind == "judged":
            claims = [
                Verdict(check=check.id, verdict="met", section=criterion.evidence[0], quote=check.ask)
                for check in criterion.checks
            ]
            kept += [verdict.quote for verdict in gate(claims, fields, criterion, pack) if verdict.verdict == "met"]
    assert kept == []


WORDED: st.SearchStrategy[VerdictWord] = st.sampled_from(("met", "not_met", "contradicted"))
TEXTS = st.text("ab \n.,'’\u200b", max_size=40)
CLAIMS = st.builds(
    lambda word, section, quote: Verdict(check="C2.a", verdict=word, section=section, quote=quote),
    WORDED,
    st.none() | st.sampled_from(FIELD_NAMES),
    TEXTS,
)


@given(st.lists(CLAIMS, max_size=4), st.dictionaries(st.sampled_from(FIELD_NAMES), TEXTS))
def test_the_gate_only_ever_takes_away(claims: list[Verdict], fields: dict[Field, str]) -> None:
    """A verdict stays as it is, its quote standing in a field that is allowed, or becomes `not_met`; twice is once."""
    after = gate(claims, fields, STATES, PACK)
    assert gate(after, fields, STATES, PACK) == after
    for before, now in zip(claims, after, strict=True):
        if now != before:
            assert (now.verdict, now.flag) in (("not_met", "unsupported"), ("not_met", "echo"))
        elif now.verdict != "not_met":
            assert now.section in STATES.evidence and verify(now.quote, fields[now.section])


def test_nothing_can_be_quoted_from_empty_sections() -> None:
    assert not is_quotable(STATES, {"entities": " \n", "code": "\u200b—", "apis": "get()"})
    assert is_quotable(STATES, {"code": "x"})
    assert {verdict.flag for verdict in unquotable(STATES)} == {"blank"}


REAL = """\
Coins are counted before anything drops. A refund returns every coin inserted since the last purchase.
Slots hold snacks; an empty slot refuses its button, and the display shows which ones remain."""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "blank"),
        ({"code": " \n\t ", "extra": "…—!"}, "blank"),
        ({"code": "\u200b\u200b\ufeff"}, "blank"),
        ({"functional_req": "fine"}, "short"),
        ({"functional_req": "It works well and is good."}, "short"),
        ({"functional_req": "Thought process:", "code": ":"}, "short"),
        ({"functional_req": "a good design " * 60}, "repeated"),
        ({"functional_req": "one two three\n" * 400}, "short"),
        ({"extra": PACK.statement}, "echo"),
        ({"extra": PACK.statement + "yes indeed", "code": "It gives change when it can."}, "echo"),
        ({"extra": PACK.statement.upper(), "apis": "\n".join([PACK.statement] * 9)}, "echo"),
        ({"functional_req": REAL}, None),
        ({"functional_req": PACK.statement + REAL}, None),
    ],
)
def test_nothing_to_judge_is_seen_without_a_judge(fields: dict[Field, str], why: str | None) -> None:
    assert triviality(fields, PACK) == why


def test_the_statement_of_every_shipped_pack_is_an_echo_of_itself() -> None:
    for pack in playable():
        answers = "\n".join(rule.response for rule in pack.clarification.rules)
        assert triviality({"functional_req": pack.statement, "extra": answers}, pack) == "echo"


def test_the_rubric_alone_is_nothing_to_judge() -> None:
    for pack in playable():
        asks = [check.ask for criterion in pack.rubric.criteria for check in criterion.checks]
        assert triviality({"extra": "\n".join(asks)}, pack) == "echo"


def test_a_full_draft_is_compared_in_little_time() -> None:
    text = "Größe of “the spot” — word number\n" * 1_800
    start = time.thread_time()
    assert verify('number grösse of "the spot"', text)
    assert triviality(dict.fromkeys(("functional_req", "entities", "code", "extra"), text), PACK) == "short"
    assert time.thread_time() - start < 1.0
