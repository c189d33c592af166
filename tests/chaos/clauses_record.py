"""C7, C9 to C12: what is held in the end, by the record, by Redis, by the model's server, by the processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from engine.core.draft import Draft, apply_changes, checksum
from protocol import events
from protocol.codec import decode_event
from protocol.words import FIELDS
from tests.chaos.history import History, Interview


def one_end(history: History) -> Iterator[str]:
    """C7: each interview ended in one submission, and that in one evaluation; each run ended once, and it was told."""
    for interview in history.interviews.values():
        kinds = Counter(type(decode_event(event.body).d).__name__ for event in interview.events)
        submitted, completed, failed = (
            kinds[kind.__name__]
            for kind in (events.SolutionSubmitted, events.EvaluationCompleted, events.EvaluationFailed)
        )
        if (submitted, interview.phase) != (1, "submitted"):
            yield f"{interview.id} was submitted {submitted} times and is in phase {interview.phase}"
        asked_again = kinds[events.EvaluationRequested.__name__]
        ended = (len(interview.evaluations), completed, failed, interview.runs)
        if ended != (1, 1, asked_again, ("failed",) * asked_again + ("done",)):
            yield (
                f"{interview.id} has {len(interview.evaluations)} evaluations, runs {interview.runs}, "
                f"{completed} results and {failed} failures told"
            )
        if interview.ends != tuple(enumerate(interview.runs, 1)):
            yield f"the runs of {interview.id} ended as {interview.ends}, and are {interview.runs}"


def judged(history: History) -> Iterator[str]:
    """C7: what a stored evaluation says a model has judged, the model was asked, and answered to the end."""
    answered = {(call.interview, call.criterion) for call in history.calls if call.whole}
    for interview in history.interviews.values():
        for result in interview.evaluations:
            for criterion in result.asked:
                if (interview.id, criterion) not in answered:
                    yield f"{interview.id} was judged on {criterion} without a whole answer of the model"


def graded_as_told(history: History) -> Iterator[str]:
    """C9: what was graded is what was handed in, and the score that everybody was told is the one that is stored."""
    for interview in history.interviews.values():
        told = [decode_event(event.body).d for event in interview.events]
        scores = [body.score for body in told if isinstance(body, events.EvaluationCompleted)]
        for result in interview.evaluations:
            if result.graded != interview.handed_in:
                yield f"{interview.id} was graded for something else than was handed in"
            if scores and scores[-1] != result.score:
                yield f"{interview.id} was told a score of {scores[-1]}; {result.score} is stored"


def whole(history: History) -> Iterator[str]:
    """C10: the record has no gap and agrees with itself; nothing was set aside."""
    for interview in history.interviews.values():
        seqs = [event.seq for event in interview.events]
        numbers = [decode_event(event.body).s for event in interview.events]
        if seqs != list(range(1, len(seqs) + 1)) or numbers != seqs or interview.recorded_seq != len(seqs):
            yield f"{interview.id} has events {seqs[:3]}..{seqs[-3:]} and recorded_seq {interview.recorded_seq}"
        if interview.parked is not None:
            yield f"{interview.id} was parked: {interview.parked}"


def as_rebuilt(history: History) -> Iterator[str]:
    """C10: at rest the live copy is what would be made anew from the record, with every command it has known."""
    for interview in history.interviews.values():
        live, rebuilt = interview.live, interview.rebuilt
        if live is None or rebuilt is None:
            continue
        if live.epoch <= rebuilt.epoch and msgspec.structs.replace(live, epoch=rebuilt.epoch) == rebuilt:
            continue  # an epoch that was begun and never installed is begun again at the next touch
        where = f"{live.epoch}/{live.seq} live, {rebuilt.epoch}/{rebuilt.seq} in the record"
        missed = sorted(dict(live.commands.items() ^ rebuilt.commands.items()))
        yield f"{interview.id} is at {where}; the same state: {live.state == rebuilt.state}; commands {missed}"


def one_draft(history: History) -> Iterator[str]:
    """C11: the stored draft is what the saves make, one revision after the other, and is what was handed in."""
    for interview in history.interviews.values():
        draft = Draft()
        for event in interview.events:
            body = decode_event(event.body).d
            if isinstance(body, events.DraftSaved):
                if body.rev != draft.rev + 1:
                    yield f"revision {body.rev} of {interview.id} follows {draft.rev}"
                draft = apply_changes(draft, body.changes, rev=body.rev, language=body.language)
                if body.checksum != checksum(draft.fields):
                    yield f"revision {body.rev} of {interview.id} is not what its changes make"
            elif isinstance(body, events.SolutionSubmitted) and (body.rev, body.checksum) != (
                draft.rev, checksum(draft.fields)
            ):  # fmt: skip
                yield f"{interview.id} handed in another draft than was saved"
        yield from _stored(history, interview, draft)


def _stored(history: History, interview: Interview, draft: Draft) -> Iterator[str]:
    held = {field: interview.fields.get(field, "") for field in FIELDS}
    if draft.rev and (interview.rev, held) != (draft.rev, dict(draft.fields)):
        yield f"the draft of {interview.id} is stored at revision {interview.rev}, its saves make {draft.rev}"
    ops = (op for op in history.ops if op.interview == interview.id)
    told = max((r.rev or 0 for op in ops for r in [op.promised] if r), default=0)
    if told > interview.rev:
        yield f"revision {told} of {interview.id} was acknowledged; the record ends at {interview.rev}"


def nothing_left(history: History) -> Iterator[str]:
    """C12: when all have left, no connection, no transaction and no more descriptors are open than a start takes."""
    for rest in history.rest:
        if rest.held > rest.most:
            yield f"{rest.of} holds {rest.held} {rest.what} at rest, of {rest.most}"
