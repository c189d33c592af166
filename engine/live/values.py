"""What the store takes and gives, as values: an interview with its position, a commit, and what came of it."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from engine.core.interview import Interview
from protocol.words import Fence


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A live interview as it stood at event `interview.seq` of this epoch."""

    interview: Interview
    epoch: int
    recorded: int
    fence: int = 0
    tab: str = ""
    user: str = ""
    """Whose it is."""
    last: str = ""
    """What made the last event: epoch and number do not tell one from another whose place it took when Redis failed
    over to a replica that lagged.
    """

    def lacks(self, known: Loaded | None) -> bool:
        """Whether Redis has lost what the record was known to hold before this was read."""
        return known is not None and (known.epoch, known.recorded) > (self.epoch, self.interview.seq)


class Entry(msgspec.Struct, frozen=True):
    """One event as committed: its bytes, and on a command's first event the command's id, hash and outcome."""

    seq: int
    body: bytes
    command_id: str | None = None
    body_hash: bytes | None = None
    outcome: bytes | None = None


class Miss(Enum):
    """Why a commit did nothing."""

    GONE = "gone"
    STALE = "stale"
    CLOCK = "clock"
    FENCED = "fenced"
    ID_REUSED = "id_reused"


class Applied(msgspec.Struct, frozen=True):
    """The commit took effect."""


class Seen(msgspec.Struct, frozen=True):
    """This command id took effect before, with this outcome."""

    outcome: bytes
    epoch: int
    recorded: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One commit: the command by its id and hash, its events, and the interview before and after."""

    before: Loaded
    after: Interview
    events: tuple[bytes, ...]
    command_id: str
    body_hash: bytes
    outcome: bytes
    fence: Fence | None
    now: int
    holds_from: int = 0
    holds_until: int | None = None

    @property
    def last(self) -> str:
        """As the script writes it."""
        return f"{self.now} {self.command_id}"

    def entries(self) -> tuple[Entry, ...]:
        """The events as the stream holds them."""
        first = self.before.interview.seq + 1
        named = Entry(first, self.events[0], self.command_id, self.body_hash, self.outcome)
        return (named, *(Entry(first + i, body) for i, body in enumerate(self.events[1:], 1)))


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Where an interview stands, and what became of one command id."""

    epoch: int
    head: int
    recorded: int
    fence: int
    last: str
    seen: bytes | None
    """Hash and outcome, if the command took effect."""
    now: int
    """Redis's clock at that instant."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What hello found, all at one instant."""

    loaded: Loaded
    writes: bool
    mode: Literal["noop", "replay", "snapshot"]
    missed: tuple[bytes, ...]
    outcomes: tuple[bytes, ...]
    narrative: str = ""
