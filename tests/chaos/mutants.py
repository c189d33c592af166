"""Broken engines, each broken in one way that looks harmless: a chaos suite that has never caught one proves nothing.

A mutant is applied in the process before the engine starts (`mutant_node.py`). What it changes must be there to be
changed: when the engine moves on, the mutant fails loudly and is to be moved as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from protocol.codes import Refuse

LAZY_SECONDS = 0.5
EARLY_MS = 700


class Mutant(NamedTuple):
    says: str
    apply: Callable[[], None]


def _edit_scripts(*edits: tuple[str, str, str]) -> None:
    """Replace text (script, from, to) in the Lua of the live room."""
    from engine.live import store

    source = store._source

    def edited(name: str) -> str:
        text = source(name)
        for of, old, new in edits:
            if of == name:
                text = _edited(text, old, new)
        return text

    store._source = edited


def _edited(text: str, old: str, new: str) -> str:
    if old not in text:
        raise LookupError(f"the engine does not say {old!r} any more")
    return text.replace(old, new)


def _ack_early() -> None:
    from engine.recorder.recorder import Recorder

    add, flush = Recorder.add, Recorder._flush

    def mutant_add(self: Any, change: Any) -> Any:
        add(self, change).add_done_callback(lambda future: future.exception())
        acked = asyncio.get_running_loop().create_future()
        acked.set_result("record")
        return acked

    async def lazy(self: Any) -> None:
        await asyncio.sleep(LAZY_SECONDS)
        await flush(self)

    Recorder.add, Recorder._flush = mutant_add, lazy  # type: ignore[method-assign]


def _no_fence() -> None:
    _edit_scripts(("commit", "if fence ~= '' and fence ~= held[1] .. ':' .. held[4]", "if false"))


def _no_dedupe() -> None:
    from engine.live.store import Live

    _edit_scripts(
        ("commit", "if seen then", "if false then"),
        ("hello", "redis.call('HGET', commands, ARGV[i]) or ''", "''"),
    )
    look = Live.look

    async def forgetful(self: Any, id: str, command_id: str) -> Any:
        found = await look(self, id, command_id)
        return found and msgspec.structs.replace(found, seen=None)

    Live.look = forgetful  # type: ignore[method-assign]


def _doorbell_only() -> None:
    from engine.live.fanout import Fanout

    async def deaf(self: Any, id: str) -> None:
        return

    Fanout.ring_again = deaf  # type: ignore[method-assign]


def _no_epoch() -> None:
    from engine.conductor.conductor import Conductor
    from engine.live.fanout import Fanout
    from engine.record import events
    from engine.web.socket import Socket

    _edit_scripts(
        ("commit", "fence ~= held[1] .. ':' .. held[4]", "string.match(fence, ':(.*)') ~= held[4]"),
        ("commit", "held[1] ~= epoch or tonumber(held[2]) ~= head or held[5] ~= ARGV[16]", "tonumber(held[2]) ~= head"),
        ("recorded", "held[1] ~= ARGV[2] or ", ""),
        ("hello", "ARGV[5] == epoch and since", "ARGV[5] ~= '' and since"),
    )
    events.ADVANCE = _edited(events.ADVANCE, "s.epoch = v.epoch AND ", "")
    ring, hear = Fanout.ring, Socket._hear

    async def ring_any(self: Any, id: str, bell: Any) -> None:
        topic = self._topics.get(id)
        await ring(self, id, msgspec.structs.replace(bell, epoch=topic.epoch) if topic else bell)

    def hear_any(self: Any, news: Any) -> None:
        hear(self, msgspec.structs.replace(news, bell=msgspec.structs.replace(news.bell, epoch=self._epoch)))

    def only_fenced(self: Any, act: Any, epoch: int) -> Any:
        return Refuse.FENCED.frame(id=act.id)

    Conductor._fenced = only_fenced  # type: ignore[method-assign]
    Fanout.ring, Socket._hear = ring_any, hear_any  # type: ignore[method-assign]


def _deadline_early() -> None:
    from engine.conductor import conductor
    from engine.core import machine
    from engine.core.interview import due_at
    from engine.live import store

    decide = machine.decide

    def hasty(interview: Any, pack: Any, command: Any, now: int) -> Any:
        if not isinstance(command, machine.ClockRan):
            return decide(interview, pack, command, now)
        decision = decide(interview, pack, command, now + EARLY_MS)
        if isinstance(decision, machine.Decided):
            return msgspec.structs.replace(decision, holds_from=max(0, decision.holds_from - EARLY_MS))
        return decision

    def due_early(interview: Any) -> int | None:
        due = due_at(interview)
        return None if due is None else due - EARLY_MS

    machine.decide = hasty
    for module in (store, conductor):
        module.due_at = due_early  # type: ignore[attr-defined]


def _ends_twice() -> None:
    from engine.record import evaluations

    fence = " AND attempt = $3 AND state = 'running' AND lease_until > now()"
    evaluations.HELD = _edited(evaluations.HELD, fence, " AND $3::int > 0")


MUTANTS: dict[str, Mutant] = {
    "ack-early": Mutant(
        "acknowledges as recorded what only Redis has; the record follows half a second later", _ack_early
    ),
    "no-fence": Mutant("commits what a writer says who has lost the pen", _no_fence),
    "no-dedupe": Mutant("does not know a command again by its id", _no_dedupe),
    "doorbell-only": Mutant("reads what is new when a doorbell rings, and never otherwise", _doorbell_only),
    "no-epoch": Mutant("takes a number of one epoch for that of another", _no_epoch),
    "deadline-early": Mutant("has a clock that is fast by less than a second", _deadline_early),
    "ends-twice": Mutant("lets a worker go on whose lease is over", _ends_twice),
}
