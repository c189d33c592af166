"""`engine judge`: a submission from a file judged in the terminal, and a judge put on trial."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import click
import msgspec

from engine.cli import Told
from engine.cli.judging_print import Printer, print_report, print_runs
from engine.cli.packs import SHIPPED, SUFFIXES
from engine.core.pack import Pack, PackError, parse_pack
from engine.judging.bullets import Bullets
from engine.judging.judge import Judge, JudgeError
from engine.judging.remarks import findings
from engine.judging.submissions import MARKDOWN, Paper, SubmissionError, read_paper, submission_of
from engine.judging.unrecorded import Outcome, judge_paper
from engine.settings import Settings, load_settings

BENCH: Final = "bench"
REPEAT_MAX: Final = 20
JUDGE = click.option(
    "--judge", "judge_name", type=click.Choice(["openai", "offline"]), help="Who judges; default: ENGINE_JUDGE."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and nothing else.")


class FileOrBench(click.Group):
    """`engine judge FILE` and `engine judge bench`: whatever is not the one is the other."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (BENCH, *ctx.help_option_names):
            args = [file.name or "", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] FILE | bench [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        file.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group("judge", cls=FileOrBench)
def command() -> None:
    """Judge the submission in FILE: each criterion as it lands, then the feedback. Nothing is stored.

    \b
    FILE is YAML:
        pack: parking-garage         # or --pack
        language: python             # go, cpp, java or python
        asked: [pricing, lot_full]   # the intents that were answered before
        functional_req: |
          A vehicle gets a ticket at the gate.
    with the seven fields functional_req, non_functional_req, entities, classes_and_relationships, apis, code and
    extra; or markdown (.md, .markdown, .txt) with a heading for each, and `pack:`, `language:` and `asked:` in lines
    before the first.
    """


@command.command("file", hidden=True)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pack", "pack_name", help="The question: a pack's id or its file. Default: what FILE says.")
@click.option("--repeat", default=1, type=click.IntRange(1, REPEAT_MAX), help="Judge it so often; shows the band.")
@JSON
@JUDGE
def file(path: Path, pack_name: str | None, repeat: int, as_json: bool, judge_name: str | None) -> None:
    """Judge one submission."""
    settings = load_settings(None, **({"judge": judge_name} if judge_name else {}))
    paper = _paper(path)
    pack = _pack(pack_name or paper.pack, settings)
    try:
        submission_of(paper, pack)
    except SubmissionError as error:
        raise Told(f"{path}: {error}") from None
    asyncio.run(_judge(settings, pack, paper, repeat, as_json))


async def _judge(settings: Settings, pack: Pack, paper: Paper, repeat: int, as_json: bool) -> None:
    runs: list[Outcome] = []
    printer = Printer(pack, quiet=as_json)
    async with _opened(settings) as judge:
        for number in range(1, repeat + 1):
            printer.begin(number, repeat, judge)
            runs.append(await _run(settings, judge, pack, paper, printer))
            printer.total(runs[-1])
        shown = sorted(runs, key=lambda run: run.total.score)[(repeat - 1) // 2]
        text = "" if shown.trivial else await _feedback(judge, pack, shown, printer.text)
        printer.end()
    if as_json:
        said = {"pack": pack.id, "judge": judge.name, **judge.describe(), "runs": runs, "narrative": text}
        click.echo(msgspec.json.encode({**said, "score": median(run.total.score for run in runs)}))
    elif repeat > 1:
        print_runs(runs)


async def _run(settings: Settings, judge: Judge, pack: Pack, paper: Paper, printer: Printer) -> Outcome:
    try:
        async with asyncio.timeout(settings.judge_job_seconds):
            return await judge_paper(
                judge, pack, paper, parallel=settings.judge_calls_parallel, on_criterion=printer.criterion
            )
    except JudgeError as error:
        raise Told(_failed(error)) from None
    except TimeoutError:
        raise Told(_failed(JudgeError("job_timeout"))) from None


async def _feedback(judge: Judge, pack: Pack, outcome: Outcome, on_text: Callable[[str], None]) -> str:
    """The feedback, each bullet as it is verified; the verdicts stand without it."""
    bullets = Bullets(outcome.results, on_text)
    try:
        await judge.narrate(pack.title, findings(outcome.results), bullets.read)
        bullets.end()
        return bullets.text
    except JudgeError as error:
        click.echo(f"No feedback: {error.code}.", err=True)
        return ""


@command.command(BENCH)
@click.option("--pack", "pack_names", multiple=True, help="Only the gold set of this pack; may be given again.")
@click.option("--gold", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Gold sets of your own.")
@click.option("--repeat", default=1, type=click.IntRange(1, REPEAT_MAX), help="Judge each gold submission so often.")
@click.option("--attacks", type=click.IntRange(0), help="So many attacks, spread over all families. Default: all.")
@click.option("--at-once", default=4, type=click.IntRange(1, 64), help="So many submissions at a time.")
@JSON
@JUDGE
def bench(
    pack_names: tuple[str, ...],
    gold: Path | None,
    repeat: int,
    attacks: int | None,
    at_once: int,
    as_json: bool,
    judge_name: str | None,
) -> None:
    """Put the judge on trial: how far it agrees with people, with itself, and how well it resists.

    It judges the gold set (four submissions a question, with people's verdicts), honest texts in odd forms, and weak
    submissions with attacks added: some 330 submissions, 8 calls each, 3,000 tokens a call, most of them cached.
    """
    settings = load_settings(None, **({"judge": judge_name} if judge_name else {}))
    asyncio.run(_bench(settings, pack_names, gold, repeat, attacks, at_once, as_json))


async def _bench(
    settings: Settings,
    pack_names: Sequence[str],
    folder: Path | None,
    repeat: int,
    attacks: int | None,
    at_once: int,
    as_json: bool,
) -> None:
    from engine.judging.trial import gold as golden
    from engine.judging.trial.report import report
    from engine.judging.trial.run import Court, papers_of, try_judge

    packs = _packs(settings)
    try:
        sets = [golden.read_gold(text, packs) for text in golden.read_folder(folder or golden.GOLD)]
        corpus = [attack for text in golden.read_folder(golden.ATTACKS) for attack in golden.read_attacks(text)]
    except golden.GoldError as error:
        raise Told(str(error)) from None
    sets = [one for one in sets if one.pack in pack_names or not pack_names]
    if not sets:
        raise Told("There is no gold set" + (f" of {', '.join(pack_names)}." if pack_names else "."))
    chosen = golden.spread_over(corpus, len(corpus) if attacks is None else attacks)
    began = time.monotonic()
    async with _opened(settings) as judge:
        with click.progressbar(
            length=papers_of(sets, repeat, len(chosen)),
            label=f"Judging ({judge.name})",
            file=sys.stderr,
        ) as bar:
            court = Court(
                judge=judge,
                papers=at_once,
                calls=settings.judge_calls_parallel,
                paper_seconds=settings.judge_job_seconds,
                progress=lambda: bar.update(1),
            )
            try:
                trial = await try_judge(court, packs, sets, chosen, repeat)
            except JudgeError as error:
                raise Told(_failed(error)) from None
        said = report(judge, trial, time.monotonic() - began)
    if as_json:
        click.echo(msgspec.json.encode(said))
    else:
        print_report(said)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Judge]:
    """The judge of the settings; nobody stands in for it here."""
    from engine.telemetry import make_metrics
    from engine.wiring import open_judges

    if settings.judge == "openai" and not (settings.openai_api_key or settings.openai_base_url):
        raise Told("The judge openai needs OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own.")
    async with AsyncExitStack() as stack:
        yield open_judges(settings, make_metrics(), stack)[0]


def _failed(error: JudgeError) -> str:
    tries = f" after {len(error.spent.outcomes)} tries" if error.spent.outcomes else ""
    return f"The judge gave no usable verdicts{tries}: {error.code}."


def _paper(path: Path) -> Paper:
    try:
        return read_paper(path.read_text(encoding="utf-8"), markdown=path.suffix.lower() in MARKDOWN)
    except UnicodeDecodeError:
        raise Told(f"{path}: not UTF-8.") from None
    except SubmissionError as error:
        raise Told(f"{path}: {error}") from None


def _pack(name: str, settings: Settings) -> Pack:
    if not name:
        raise Told("Of which question? Say --pack SLUG, or `pack: SLUG` in the file.")
    path = Path(name)
    if path.suffix in SUFFIXES and path.is_file():
        return _parsed(path)
    packs = _packs(settings)
    if name not in packs:
        raise Told(f"There is no pack {name}. There are {', '.join(packs)}; or name a file.")
    if not packs[name].rubric.criteria:
        raise Told(f"The pack {name} has no rubric yet.")
    return packs[name]


def _packs(settings: Settings) -> dict[str, Pack]:
    folders = [SHIPPED, *([settings.packs_dir] if settings.packs_dir else [])]
    packs = [_parsed(path) for folder in folders for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    return {pack.id: pack for pack in packs}


def _parsed(path: Path) -> Pack:
    try:
        return parse_pack(path.read_bytes())
    except PackError as error:
        raise Told(f"{path}: {error}") from None
