"""What gets into a log line, and what never does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from engine import telemetry
from engine.telemetry import bound_contextvars, log, make_metrics, render_metrics

SECRET = "what the candidate typed, at ada@example.org"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    telemetry.configure("json")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("style", ["json", "console"])
def test_text_of_people_never_gets_in(style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(style)
    log.info("asked", text=SECRET, email=SECRET, d={"text": SECRET, "list": [SECRET]}, blob=SECRET.encode())
    log.info("asked", interview=SECRET, reason=SECRET, user=SECRET)  # known fields, which hold an address
    log.info("asked", code="483920", token="abc.def.ghi")
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("broken", text=SECRET)
    logging.getLogger("somebody").error("they said %s", SECRET, exc_info=ValueError(SECRET))
    logging.getLogger("somebody").error("they said %s", SECRET.partition(",")[0])
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: {SECRET}")
    logging.getLogger("asyncio").error(f"Exception in callback said({SECRET!r}) at here.py:7")
    written = capsys.readouterr().err
    assert written.count("asked") == 3
    for part in ("candidate typed", "ada@", "483920", "abc.def"):
        assert part not in written


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x1b[2K\x1b[1G", "\x85", "\u2028", "\x00", "\x9b2K"])
def test_72_nobody_writes_a_line_of_the_log(style: Any, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    forged = f'x{end}{{"event": "forged", "level": "critical"}}'
    telemetry.configure(style)
    log.info("asked", reason=forged, path=forged, unknown=forged, list={"origin": forged})
    try:
        raise OSError(2, "no such file", forged)
    except OSError:
        log.exception("broken")
    logging.getLogger("somebody").error(forged)
    written = capsys.readouterr().err
    assert written.count("\n") == (3 if style == "json" else 4)  # people get exceptions on a line of their own
    assert all(character.isprintable() or character == "\n" for character in written)


def test_ids_codes_and_numbers_pass(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("json")
    with bound_contextvars(request_id="r-1", connection="c-2"):
        log.info("refused", interview="0197", code="stale_fence", close=4008, seconds=0.25, first=True)
    (line,) = lines(capsys)
    said = {name: line[name] for name in ("event", "interview", "code", "close", "seconds", "first")}
    assert said == {
        "event": "refused",
        "interview": "0197",
        "code": "stale_fence",
        "close": 4008,
        "seconds": 0.25,
        "first": True,
    }
    assert line["request_id"] == "r-1" and line["connection"] == "c-2" and line["level"] == "info"


def test_an_exception_says_where_and_why_but_quotes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("json")
    try:
        try:
            raise ValueError(SECRET)
        except ValueError as cause:
            raise ConnectionRefusedError(111, "refused") from cause
    except OSError:
        log.exception("away")
    (line,) = lines(capsys)
    assert line["exception"].startswith("ConnectionRefusedError([Errno 111] refused) at tests/test_telemetry.py:")
    assert "<- ValueError at tests/test_telemetry.py:" in line["exception"]


def test_long_strings_are_replaced_by_their_length(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("json")
    log.info("long", reason="x" * 201)
    assert lines(capsys)[0]["reason"] == "<str of 201>"


def test_metrics_are_made_anew_for_each_process() -> None:
    one, other = make_metrics(), make_metrics()
    one.commands.labels("draft.save", "ok").inc()
    body, kind = render_metrics(one)
    assert b'engine_commands_total{outcome="ok",type="draft.save"} 1.0' in body
    assert b"draft.save" not in render_metrics(other)[0]
    assert kind.startswith("text/plain")
