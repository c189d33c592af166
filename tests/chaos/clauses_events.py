"""C4, C5: what clients were given of an interview."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from engine.core.draft import Draft, apply_changes, checksum
from protocol import events
from protocol.codec import decode_event
from tests.chaos.history import History, Interview, hash_of, state_hash

Clause = Callable[[History], Iterator[str]]


def in_order(history: History) -> Iterator[str]:
    """C4: each client was given each event once and in order; a snapshot only where a numbering began anew."""
    for feed in history.feeds:
        epoch = position = -1
        for seen in feed.seen:
            if seen.kind == "snapshot":
                if seen.epoch <= epoch:
                    yield f"{feed.client} was given a snapshot of {feed.interview} at {seen.s} within epoch {epoch}"
                epoch, position = seen.epoch, seen.s
            elif (seen.epoch, seen.s) != (epoch, position + 1):
                place = f"{seen.epoch}/{seen.s} of {feed.interview}"
                yield f"{feed.client} was given event {place} after {epoch}/{position}"
                epoch, position = seen.epoch, max(position, seen.s)
            else:
                position = seen.s


def nothing_kept_back(history: History) -> Iterator[str]:
    """C4: who stays is told everything and answered, and nobody is sent away."""
    for feed in history.feeds:
        interview = history.interviews.get(feed.interview)
        if feed.sent_away is not None:
            yield f"{feed.client} was sent away from {feed.interview} with {feed.sent_away}"
        if not feed.stayed or interview is None:
            continue
        position = feed.seen[-1].s if feed.seen else 0
        if position < interview.recorded_seq or feed.unanswered or interview.phase == "submitted":
            yield (
                f"{feed.client} waits in vain at {position} of {interview.recorded_seq} in {feed.interview}, "
                f"unanswered {feed.unanswered}"
            )


def of_one_mind(history: History) -> Iterator[str]:
    """C5: any two clients, and the record, agree on the event at each place, and on what a snapshot shows."""
    held = {(i.id, e.seq): hash_of(e.body) for i in history.interviews.values() for e in i.events}
    shown = {id: _states(interview) for id, interview in history.interviews.items()}
    told: dict[tuple[str, int, int], dict[str, str]] = defaultdict(dict)
    for feed in history.feeds:
        for seen in feed.seen:
            known = shown.get(feed.interview, {}).get(seen.s) if seen.kind == "snapshot" else ""
            if seen.kind == "snapshot" and not seen.live and seen.hash != known:
                yield f"{feed.client} was shown {seen.hash} at {seen.s} of {feed.interview}; the record makes {known}"
            if seen.kind == "snapshot":
                continue
            told[feed.interview, seen.epoch, seen.s].setdefault(seen.hash, feed.client)
            if not seen.live and held.get((feed.interview, seen.s)) != seen.hash:
                yield f"{feed.client} was given another event {seen.s} of {feed.interview} than the record holds"
    for (interview, epoch, s), hashes in told.items():
        if len(hashes) > 1:
            yield f"event {epoch}/{s} of {interview} is not the same to {' and '.join(hashes.values())}"


def _states(interview: Interview) -> dict[int, str]:
    """What a snapshot must show, by the last event it knows."""
    draft, phase = Draft(), "clarifying"
    states = {0: state_hash(phase, draft.rev, checksum(draft.fields))}
    for event in interview.events:
        body = decode_event(event.body).d
        if isinstance(body, events.DraftSaved):
            draft = apply_changes(draft, body.changes, rev=body.rev, language=body.language)
        elif isinstance(body, events.PhaseChanged):
            phase = body.phase
        elif isinstance(body, events.SolutionSubmitted):
            phase = "submitted"
        states[event.seq] = state_hash(phase, draft.rev, checksum(draft.fields))
    return states
