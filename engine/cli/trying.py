"""`engine try`: play an interview in the terminal, or from a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, NamedTuple

import click
import httpx2

from engine.cli import Told
from engine.cli.try_client import Client, Stopped
from engine.cli.try_interview import Terminal
from engine.cli.try_lines import Lines, Misread
from engine.cli.try_print import Printer
from engine.cli.try_rest import Refused, Rest
from engine.settings import load_settings

WAIT_SECONDS = 300.0
TESTER = "candidate@example.com"

WORDS_HELP = """\
\b
Lines are commands:
  ask TEXT          a clarifying question; while clarifying, TEXT alone does
  yes, no           to "did you mean ...?"
  reject [N]        not what I asked: gives the quota back
  set FIELD TEXT    write a field of the draft; also set FIELD @FILE, and
                    set FIELD <<END, lines of text, END
  language NAME     go, cpp, java, python
  proceed, submit   on to design; hand in
  wait WHAT         design, submitted, evaluation
  appeal CHECK FIELD WORDS   have a check judged again; WORDS stand in FIELD
  show, time, retry, take, help, quit

\b
A whole interview from a pipe, against `engine up` on this machine:
  printf '%s\\n' 'How many floors?' proceed 'set func Park and pay.' submit 'wait evaluation' |
    engine try --mailbox --question parking-garage
"""


@click.command("try", epilog=WORDS_HELP)
@click.option("--url", "urls", multiple=True, help="The engine; repeat it to name several nodes.  [the settings' own]")
@click.option("--email", help="Who signs in; asked for where it is not given.")
@click.option("--mailbox", is_flag=True, help="Read the code from the development mailbox, not from the input.")
@click.option("--question", help="The question, by its short name; the catalog is listed where it is not given.")
@click.option("--json", "frames", is_flag=True, help="Print the frames as they come, one a line, and nothing else.")
@click.option("--wait-seconds", default=WAIT_SECONDS, show_default=True, help="How long `wait` waits at most.")
def command(**given: Any) -> None:
    """Play an interview in the terminal, or from a pipe.

    The input gives the address and the code to sign in with (where --email and --mailbox do not), the question
    (where --question does not), then one command a line. An interview under way goes on where it was. Leaving does
    not end it. The exit status is 0 if all that was asked for worked, 1 if something was refused or an evaluation
    failed, 2 if the engine could not be reached or the sign-in failed.
    """
    given["urls"] = given["urls"] or (load_settings().base_url,)
    options = Options(**given)
    try:
        failed = asyncio.run(_play(options, Lines(sys.stdin), Printer(frames=options.frames)))
    except httpx2.TransportError as error:
        where = f"{options.urls[0]} does not answer ({type(error).__name__})"
        raise Told(f"{where}. Is `engine up` running there?") from None
    except (Stopped, Refused, Misread) as error:
        raise Told(str(error)) from None
    sys.exit(1 if failed else 0)


class Options(NamedTuple):
    """What was given to `engine try`."""

    urls: tuple[str, ...]
    email: str | None
    mailbox: bool
    question: str | None
    frames: bool
    wait_seconds: float


async def _play(options: Options, lines: Lines, printer: Printer) -> bool:
    """Whether something failed."""
    async with Rest(options.urls) as rest:
        await _sign_in(options, rest, lines, printer)
        found = await rest.question(options.question or await _choose(rest, lines, printer))
        started = await rest.start(found["slug"])
        printer.say(f"\n{found['title']}\n\n{found['statement'].strip()}\n")
        client = Client(rest, started["id"], printer.heard)
        terminal = Terminal(client, lines, printer, options.wait_seconds)
        await _first(client.run(), terminal.play())
        return terminal.failed


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Until one ends; the other is cancelled. Raises what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sign_in(options: Options, rest: Rest, lines: Lines, printer: Printer) -> None:
    address = options.email or (TESTER if options.mailbox else await _given(lines, "Email"))
    before = await rest.newest_mail(address) if options.mailbox else 0
    challenge = await rest.ask_code(address)
    printer.say(f"A code was sent to {address}.")
    code = await rest.mailed_code(address, before) if options.mailbox else await _given(lines, "Code")
    printer.say(f"Signed in as {await rest.sign_in(challenge, code)}.")


async def _choose(rest: Rest, lines: Lines, printer: Printer) -> str:
    """A question by number or short name."""
    questions = [one for one in await rest.questions() if one["status"] == "published"]
    for number, one in enumerate(questions, 1):
        minutes = sum(one["time_limits"].values()) // 60
        printer.say(
            f"{number:4}  {one['slug']:28} {one['type']}  {one['difficulty']:7} {minutes:3} min  {one['title']}"
        )
    chosen = await _given(lines, "Question")
    if chosen.isdigit() and 0 < int(chosen) <= len(questions):
        return str(questions[int(chosen) - 1]["slug"])
    return chosen


async def _given(lines: Lines, what: str) -> str:
    line = await lines.next(f"{what}: ")
    if line is None or not line.strip():
        raise Misread(f"The input ended where it should give: {what.lower()}.")
    return line.strip()
