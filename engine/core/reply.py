"""A model's reply to verdicts. What deviates is told apart and refused whole; no number of a model is ever read."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from protocol.events import VerdictWord

from engine.core.evidence import Verdict
from engine.core.marked import plain, sanitise, unmarked
from engine.core.prompt import NO_SECTION, Asking

REPLY_CHARS_MAX: Final = 65_536
"""Twenty checks with full reasons and quotes are a quarter of this."""
REASON_CHARS_MAX: Final = 400
QUOTE_CHARS_MAX: Final = 400

FaultCode = Literal["too_large", "schema", "wrong_ids", "repeated", "missing", "captured"]


class ReplyFault(msgspec.Struct, frozen=True):
    """Why a reply is not used. `detail` holds ids of ours, never text of a model."""

    code: FaultCode
    detail: str = ""


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    reason: str
    section: str
    quote: str
    verdict: VerdictWord


class _Reply(msgspec.Struct, forbid_unknown_fields=True):
    verdicts: list[_Row]


_DECODER: Final = msgspec.json.Decoder(_Reply)


def parse_reply(raw: str, asking: Asking) -> tuple[Verdict, ...] | ReplyFault:
    """One verdict for each check of the criterion, trip-wires removed, or why the reply is refused.

    The verdicts are the model's word still: `evidence.gate` decides what they are worth.
    """
    if len(raw) > REPLY_CHARS_MAX:
        return ReplyFault("too_large")
    try:
        rows = _DECODER.decode(raw).verdicts
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ReplyFault("schema")
    fault = _ids(rows, asking) or _sections(rows, asking) or _tripwires(rows, asking)
    if fault is not None:
        return fault
    return tuple(_verdict(row, asking) for row in rows if row.id in asking.checks)


def _ids(rows: list[_Row], asking: Asking) -> ReplyFault | None:
    given = [row.id for row in rows]
    wanted = {*asking.checks, *asking.tripwires}
    if set(given) - wanted:
        return ReplyFault("wrong_ids")
    if len(set(given)) != len(given):
        return ReplyFault("repeated", ", ".join(sorted({id for id in given if given.count(id) > 1})))
    if missing := wanted - set(given):
        return ReplyFault("missing", ", ".join(sorted(missing)))
    return None


def _sections(rows: list[_Row], asking: Asking) -> ReplyFault | None:
    allowed = {*asking.sections, NO_SECTION}
    return None if all(row.section in allowed for row in rows) else ReplyFault("schema")


def _tripwires(rows: list[_Row], asking: Asking) -> ReplyFault | None:
    wrong = [row.id for row in rows if asking.tripwires.get(row.id, row.verdict == "met") != (row.verdict == "met")]
    return ReplyFault("captured", ", ".join(wrong)) if wrong else None


def _verdict(row: _Row, asking: Asking) -> Verdict:
    section = next((field for field in asking.sections if field == row.section), None)
    return Verdict(
        check=asking.checks[row.id],
        verdict=row.verdict,
        section=section,
        quote=plain(unmarked(row.quote))[:QUOTE_CHARS_MAX],
        reason=" ".join(sanitise(row.reason))[:REASON_CHARS_MAX],
    )
