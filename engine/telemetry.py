"""Logs and metrics. A log line says what happened to which id; what people wrote never gets into one.

Strings pass by the name of their field (`TEXT_FIELDS`); any other string is replaced by its length, so that a
new field is safe until somebody decides that it may be read. Numbers, booleans and None always pass.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars
from structlog.typing import FilteringBoundLogger

__all__ = [
    "Metrics",
    "bind_contextvars",
    "bound_contextvars",
    "clear_contextvars",
    "configure",
    "keep_text_out",
    "log",
    "make_metrics",
    "render_metrics",
]

log: FilteringBoundLogger = structlog.get_logger()

TEXT_CHARS_MAX = 200
"""Longest string that passes: ids, codes, routes, names of things. Prose is longer."""

FRAMES_MAX = 12
"""Frames kept of a traceback, the innermost: enough to find the line."""

TEXT_FIELDS = frozenset(
    """
    event level timestamp logger exception request_id connection service process node version signal setting
    interview question user login challenge run command phase from_phase to_phase by slug pack rubric criterion
    intent matcher type kind state role outcome reason judge model flag error sqlstate close_kind
    method route path host listen origin fence epoch stream key queue task worker partition script schema
    migration
    """.split()
)
"""Fields whose strings are ours: ids, names, enumerations. Never what a person typed, nor a secret."""

CODE_SHAPE = re.compile(r"[a-z][a-z0-9_.]{1,59}")
"""What `code` may hold: a refusal's name. A one-time code is digits and does not fit."""

OWN_MESSAGE = (OSError, ImportError, NameError, AttributeError, TypeError, NotImplementedError)
"""Exceptions whose text names types, files and addresses; any other's may quote what was being handled."""

QUOTES = re.compile(r"""[\n(<\[{'"`]""")

FOREIGN_LEVELS = {"uvicorn.error": logging.WARNING, "taskiq": logging.WARNING, "alembic": logging.WARNING}


def configure(style: Literal["json", "console"], *, level: int = logging.INFO) -> None:
    """Send all logs, other libraries' too, to stderr: JSON lines, or coloured lines for people."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=_described)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exceptions_as_places,
            keep_text_out,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Foreign)] + [_Foreign()]
    for name, foreign_level in FOREIGN_LEVELS.items():
        logging.getLogger(name).setLevel(foreign_level)
    logging.captureWarnings(True)


def keep_text_out(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:  # a structlog processor
    """Replace every string that its field's name does not let through; cut what is too long."""
    return {name: _safe(name, value) for name, value in event.items()}


def _safe(name: str, value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str() if name == "code":
            return value if CODE_SHAPE.fullmatch(value) else _described(value)
        case str() if name == "exception":
            return value
        case str() if name in TEXT_FIELDS and "@" not in value and value.isprintable():
            return value if len(value) <= TEXT_CHARS_MAX else _described(value)
        case Mapping():
            return {str(key): _safe(str(key), inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset() if name in TEXT_FIELDS:
            return [_safe(name, inner) for inner in value]
        case _ if name in TEXT_FIELDS and not isinstance(value, str | bytes):
            return _safe(name, str(value))
        case _:
            return _described(value)


def _described(value: Any) -> str:
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"<{type(value).__name__}{size}>"


def _exceptions_as_places(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:  # a structlog processor
    """Types and places of an exception and its causes; its text only where that cannot quote a candidate."""
    info = event.pop("exc_info", None)
    if info is True:
        error: BaseException | None = sys.exc_info()[1]
    elif isinstance(info, tuple):
        error = cast("tuple[type[BaseException], BaseException, TracebackType]", info)[1]
    else:
        error = info if isinstance(info, BaseException) else None
    if error is not None:
        event["exception"] = " <- ".join(_place(one) for one in _causes(error))
    return event


def _causes(error: BaseException) -> Sequence[BaseException]:
    chain = [error]
    while (after := chain[-1].__cause__ or chain[-1].__context__) is not None and after not in chain:
        chain.append(after)
    return chain


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    where = " > ".join(f"{'/'.join(Path(at.filename).parts[-2:])}:{at.lineno} {at.name}" for at in frames)
    sqlstate = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    said = " ".join(str(error).split()) if isinstance(error, OWN_MESSAGE) else ""
    parts = [
        type(error).__name__,
        f"({said[:TEXT_CHARS_MAX]})" if said else "",
        f"[{sqlstate}]" if sqlstate else "",
    ]
    inner = [_place(one) for one in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    return "".join(parts) + (f" at {where}" if where else "") + (f" {{{'; '.join(inner)}}}" if inner else "")


def _to_stderr(*_: Any) -> structlog.WriteLogger:
    return structlog.WriteLogger(sys.stderr)  # looked up each time: whoever redirects stderr gets the logs


class _Foreign(logging.Handler):
    """Other libraries' records, as events of ours: their sentences as in their source, without the values.

    Some are put together before they come here (asyncio: `Exception in callback f('what somebody wrote')`), so a
    sentence ends where it begins to quote.
    """

    def emit(self, record: logging.LogRecord) -> None:
        said = QUOTES.split(str(record.msg), 1)[0].strip()[:TEXT_CHARS_MAX]
        log.log(record.levelno, said, logger=record.name, exc_info=record.exc_info)


BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
BUCKETS_COUNT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Metrics:
    """Every metric of one process, and their registry. Made by `make_metrics`, passed as an argument."""

    registry: CollectorRegistry
    http_requests: Counter
    http_seconds: Histogram
    sockets_open: Gauge
    sockets_closed: Counter
    frames_refused: Counter
    commands: Counter
    ack_seconds: Histogram
    commit_seconds: Histogram
    record_seconds: Histogram
    record_group: Histogram
    record_lag_events: Gauge
    record_parked: Counter
    record_away: Gauge
    rebuilds: Counter
    deadline_late_seconds: Histogram
    clarifications: Counter
    evaluations: Counter
    evaluation_seconds: Histogram
    judge_calls: Counter
    judge_seconds: Histogram
    judge_tokens: Counter
    codes_sent: Counter


def make_metrics(registry: CollectorRegistry | None = None) -> Metrics:
    """New metrics in `registry`, or in a registry of their own."""
    into = registry or CollectorRegistry()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # birthdays of series: nobody reads them

    def counter(name: str, says: str, *labels: str) -> Counter:
        return Counter(f"engine_{name}", says, labels, registry=into)

    def gauge(name: str, says: str) -> Gauge:
        return Gauge(f"engine_{name}", says, registry=into)

    def seconds(name: str, says: str, *labels: str) -> Histogram:
        return Histogram(f"engine_{name}_seconds", says, labels, registry=into, buckets=BUCKETS_SECONDS)

    return Metrics(
        registry=into,
        http_requests=counter("http_requests", "Requests answered.", "method", "route", "status"),
        http_seconds=seconds("http", "From request to answer.", "route"),
        sockets_open=gauge("sockets_open", "Sockets open now."),
        sockets_closed=counter("sockets_closed", "Sockets closed, by close code.", "code"),
        frames_refused=counter("frames_refused", "Frames refused, by refusal.", "code"),
        commands=counter("commands", "Commands decided.", "type", "outcome"),
        ack_seconds=seconds("ack", "From a command's frame to its ack.", "type"),
        commit_seconds=seconds("commit", "One commit in Redis."),
        record_seconds=seconds("record", "One group into Postgres."),
        record_group=Histogram("engine_record_group_events", "Events a group.", registry=into, buckets=BUCKETS_COUNT),
        record_lag_events=gauge("record_lag_events", "Events committed here and not yet recorded."),
        record_parked=counter("record_parked", "Interviews that could not be recorded."),
        record_away=gauge("record_away", "1 while Postgres is away."),
        rebuilds=counter("rebuilds", "Live copies rebuilt from the record."),
        deadline_late_seconds=seconds("deadline_late", "From a deadline (with its grace) to its commit."),
        clarifications=counter("clarifications", "Questions answered, by kind of answer.", "kind"),
        evaluations=counter("evaluations", "Evaluations ended.", "judge", "outcome"),
        evaluation_seconds=seconds("evaluation", "From claim to end.", "judge"),
        judge_calls=counter("judge_calls", "Calls of a model.", "outcome"),
        judge_seconds=seconds("judge", "One call of a model."),
        judge_tokens=counter("judge_tokens", "Tokens, as the model counts them.", "kind"),
        codes_sent=counter("codes_sent", "One-time codes, by what became of the mail.", "outcome"),
    )


def render_metrics(metrics: Metrics) -> tuple[bytes, str]:
    """(body, content type) for whoever scrapes."""
    return generate_latest(metrics.registry), CONTENT_TYPE_PLAIN_0_0_4
