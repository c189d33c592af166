"""An interview that was handed in, straight into the record; and somebody who hears what workers announce."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

import engine.packs
from engine.core.draft import checksum
from engine.core.pack import Pack, encode_pack, pack_hash, parse_pack
from engine.record.events import driver
from protocol import events
from protocol.words import FIELDS, Field

GARAGE: Pack = parse_pack((Path(engine.packs.__path__[0]) / "parking-garage.yaml").read_text())
JUDGED = tuple(criterion for criterion in GARAGE.rubric.criteria if criterion.kind == "judged")

STRONG: dict[Field, str] = {
    "functional_req": """A vehicle is admitted at the gate, given a fitting spot and a ticket.
The fee is worked out and settled before the vehicle leaves.
When no fitting spot is free the gate says FULL and refuses.
Out of scope: reservations and passes.""",
    "non_functional_req": """Two gates may try to claim the same spot at once: never one spot for two vehicles.
A spot is found within 50 ms for 2000 spots.""",
    "entities": """Garage: knows its floors and gates, its responsibility is admission
Spot: distinct type, its responsibility is size and who holds it
Vehicle: has a kind and a plate
Ticket: refers to one vehicle and one spot, and when it came
PricingPolicy: works out the fee, outside the class that holds spots
Payment: a collaborator of its own""",
    "classes_and_relationships": """Garage 1 -- * Floor (owns), Floor 1 -- * Spot (owns)
Ticket 1 -- 1 Vehicle, Ticket 1 -- 1 Spot (refers)
AllocationPolicy is an interface, so allocation can be swapped behind it; NearestFirst is a concrete alternative""",
    "apis": """enter(vehicle) -> Ticket or Refusal: the entry operation takes a vehicle and gives back a ticket
exit(ticket) -> Receipt: the exit operation takes a ticket, yields a fee, fails with UnknownTicket""",
    "code": """class Spot:
    def claim(self, vehicle): # finding and claiming a spot is one atomic step under a lock
        with self.lock:
            if self.vehicle is None:
                self.vehicle = vehicle
                return True
        return False
class Garage:
    def enter(self, vehicle): return Ticket(vehicle, self.policy.allocate(vehicle))
class Ticket: ...
class Vehicle: ...
class PricingPolicy: ...
class Payment: ...""",
    "extra": "When a later step fails, or the vehicle leaves, the spot it had claimed is given back.",
}


async def hand_in(
    engine: AsyncEngine,
    fields: Mapping[Field, str] = STRONG,
    *,
    intents: tuple[str, ...] = ("pricing",),
    user: UUID | None = None,
) -> UUID:
    """A submitted interview on the garage with run 1 queued, as the recorder leaves it; of a new user unless named."""
    user, question, interview = user or uuid4(), uuid4(), uuid4()
    texts = {field: fields.get(field, "") for field in FIELDS}
    hash = pack_hash(GARAGE)
    async with driver(engine) as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO users (id, email, email_key) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING", user, f"{user}@x.org"
        )
        await connection.execute(
            "INSERT INTO question_packs (hash, slug, version, body) VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING",
            hash, GARAGE.id, encode_pack(GARAGE),
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO questions (id, slug, title, type, difficulty, status, access, statement, pack_hash, "
            "clarify_seconds, design_seconds, max_questions) "
            "VALUES ($1, $2, 't', 'LLD', 'easy', 'published', 'free', 's', $3, 60, 60, 5)",
            question, str(question), hash,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO interview_sessions (id, user_id, question_id, pack_hash, phase, started_at, deadline_at, "
            "clarify_seconds, design_seconds, submitted_at) "
            "VALUES ($1, $2, $3, $4, 'submitted', now(), now(), 60, 60, now())",
            interview, user, question, hash,
        )  # fmt: skip
        await connection.execute(
            f"INSERT INTO solutions (id, interview_id, {', '.join(FIELDS)}, language, rev, checksum, submitted_at, "
            f"submitted_by) VALUES ($1, $2, {', '.join(f'${i}' for i in range(3, 10))}, 'python', 1, $10, now(), "
            "'candidate')",
            uuid4(), interview, *texts.values(), checksum(texts),
        )  # fmt: skip
        for seq, intent in enumerate(intents, 1):
            await connection.execute(
                "INSERT INTO clarification_logs (interview_id, seq, text, kind, intent, response, charged, score, "
                "margin, matcher, asked_at) VALUES ($1, $2, 'q', 'answered', $3, 'r', true, 1, 1, 'm', now())",
                interview, seq, intent,
            )  # fmt: skip
        await connection.execute(
            "INSERT INTO evaluation_runs (interview_id, run, state) VALUES ($1, 1, 'queued')", interview
        )
    return interview


class Heard:
    """The conductor, as workers see it: each id takes effect once, a run's end is recorded; it may be away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.said: dict[str, events.Event] = {}
        self.order: list[str] = []
        self.narrated = ""
        self.away = False
        self.back = asyncio.Event()
        self._engine = engine

    async def announce(self, interview: UUID, command_id: str, body: events.Event) -> bool:
        if self.away:
            raise ConnectionRefusedError("redis is away")
        if command_id in self.said or any(id.endswith(":end") for id in self.said):
            return False
        self.said[command_id] = body
        self.order.append(command_id)
        if command_id.endswith(":end"):
            async with driver(self._engine) as connection:
                await connection.execute(
                    "UPDATE evaluation_runs SET announced = true WHERE interview_id = $1", interview
                )
        return True

    async def narrate(self, interview: UUID, run: int, attempt: int, offset: int, text: str) -> None:
        if self.away:
            raise ConnectionRefusedError("redis is away")
        if offset == len(self.narrated.encode()):
            self.narrated += text

    @property
    def completed(self) -> events.EvaluationCompleted | None:
        end = self.said.get("eval:1:end")
        return end if isinstance(end, events.EvaluationCompleted) else None

    @property
    def failed(self) -> events.EvaluationFailed | None:
        end = self.said.get("eval:1:end")
        return end if isinstance(end, events.EvaluationFailed) else None

    def criteria(self) -> dict[str, events.EvaluationCriterion]:
        """What was announced of each criterion."""
        return {said.id: said for said in self.said.values() if isinstance(said, events.EvaluationCriterion)}
