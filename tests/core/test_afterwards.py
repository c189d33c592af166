"""The minute a quote first stood in the draft, as each minute left it; and what was never asked."""

from __future__ import annotations

from engine.core.afterwards import MINUTE_MS, FirstShown, unasked
from engine.core.draft import checksum_of_field
from protocol import events
from protocol.messages import EventFrame, event_frame
from protocol.words import Change, Field, Splice
from tests.core.playing import STARTED_AT
from tests.core.shipped import packs

PACK = packs()["parking-garage"]


class Typing:
    """A draft, save by save."""

    def __init__(self) -> None:
        self.frames: list[EventFrame] = []

    def save(self, minutes: float, change: Change) -> None:
        """At so many minutes from the start."""
        s = len(self.frames) + 1
        body = events.DraftSaved(rev=s, changes=(change,), language="python", checksum=0)
        self.frames.append(event_frame(body, s=s, ts=STARTED_AT + round(minutes * MINUTE_MS)))

    def shown(self, quote: str, field: Field = "entities") -> int | None:
        reader = FirstShown({"C1.a": (field, quote)}, STARTED_AT)
        for frame in self.frames:
            reader.read(frame)
        return reader.found().get("C1.a")


def test_the_minute_at_whose_end_it_first_stood() -> None:
    typing = Typing()
    typing.save(0.5, Change(field="entities", text="Garage: owns"))
    sum = checksum_of_field("Garage: owns its floors")
    typing.save(12.2, Change(field="entities", splices=(Splice(at=12, ins=" its floors"),), checksum=sum))
    typing.save(30.0, Change(field="code", text="class Garage: owns its floors"))
    assert typing.shown("Garage: owns") == 0
    assert typing.shown("garage:  OWNS its\u200b floors") == 12
    assert typing.shown("owns its floors", "code") == 30
    assert typing.shown("never typed at all") is None


def test_what_came_and_went_within_a_minute_was_not_there_yet() -> None:
    typing = Typing()
    typing.save(3.1, Change(field="entities", text="a lock guards each spot"))
    typing.save(3.9, Change(field="entities", text=""))
    typing.save(8.0, Change(field="entities", text="a lock guards each spot"))
    typing.save(9.0, Change(field="entities", text="gone again, for good"))
    assert typing.shown("a lock guards each spot") == 8


def test_a_save_in_the_grace_counts_as_any() -> None:
    typing = Typing()
    typing.save(53.03, Change(field="extra", text="the very last thought of all"))
    assert typing.shown("the very last thought", "extra") == 53


def test_what_was_never_asked_by_its_weight_without_its_answer() -> None:
    asked = PACK.clarification.rules[0].intent
    left = unasked(PACK, [asked])
    assert {one.intent for one in left} == {rule.intent for rule in PACK.clarification.rules} - {asked}
    assert [one.weight for one in left] == sorted((one.weight for one in left), reverse=True)
    assert not any(rule.response in str(left) for rule in PACK.clarification.rules)
