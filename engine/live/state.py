"""An interview as the fields of a Redis hash. A change writes only the fields that differ."""

from __future__ import annotations

import msgspec

from engine.core.draft import Draft
from engine.core.interview import Interview
from protocol.views import Clarification, EvaluationView, SubmissionView
from protocol.words import FIELDS, Language, Phase

FORMAT = 2
"""Of the fields below; a copy in another format is rebuilt from the record."""


class _Core(msgspec.Struct, frozen=True):
    format: int
    id: str
    pack: str
    started_at: int
    deadline_at: int
    design_ms: int
    phase: Phase
    rev: int
    language: Language
    submission: SubmissionView | None


_encode = msgspec.msgpack.Encoder().encode
_core = msgspec.msgpack.Decoder(_Core)
_said = msgspec.msgpack.Decoder(tuple[Clarification, ...])
_evaluation = msgspec.msgpack.Decoder(EvaluationView | None)


class UnknownFormat(ValueError):
    """The live copy was written by another version of the engine."""


def fields_of(interview: Interview, before: Interview | None = None) -> dict[str, bytes]:
    """The hash fields of an interview; given what is held already, only those that differ."""
    fields = {"core": _encode(_core_of(interview))}
    if before is None or before.clarifications is not interview.clarifications:
        fields["said"] = _encode(interview.clarifications)
    if before is None or before.evaluation is not interview.evaluation:
        fields["evaluation"] = _encode(interview.evaluation)
    for field in FIELDS:
        text = interview.draft.fields[field]
        if before is None or before.draft.fields[field] is not text:
            fields[f"f:{field}"] = text.encode()
    return fields


def interview_of(fields: dict[bytes, bytes], head: int) -> Interview:
    """The interview whose hash this is. Raises UnknownFormat."""
    try:
        core = _core.decode(fields[b"core"])
        said = _said.decode(fields[b"said"])
        evaluation = _evaluation.decode(fields[b"evaluation"])
        texts = {field: fields[f"f:{field}".encode()].decode() for field in FIELDS}
    except (msgspec.DecodeError, KeyError) as error:
        raise UnknownFormat(str(error)) from None
    if core.format != FORMAT:
        raise UnknownFormat(f"format {core.format}")
    return Interview(
        id=core.id,
        pack=core.pack,
        started_at=core.started_at,
        deadline_at=core.deadline_at,
        design_ms=core.design_ms,
        seq=head,
        phase=core.phase,
        clarifications=said,
        draft=Draft(rev=core.rev, language=core.language, fields=texts),
        submission=core.submission,
        evaluation=evaluation,
    )


def _core_of(interview: Interview) -> _Core:
    return _Core(
        format=FORMAT,
        id=interview.id,
        pack=interview.pack,
        started_at=interview.started_at,
        deadline_at=interview.deadline_at,
        design_ms=interview.design_ms,
        phase=interview.phase,
        rev=interview.draft.rev,
        language=interview.draft.language,
        submission=interview.submission,
    )
