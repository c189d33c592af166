"""`engine judge`: a file judged over real HTTP, told as it goes; what is wrong with a file or a judge in a sentence."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from engine.cli import EXIT_TOLD
from engine.cli.judging import command
from engine.judging.submissions import SubmissionError, read_paper
from protocol.words import FIELDS
from tests.core.shipped import packs
from tests.fake_model import FakeModel, Step
from tests.judging.readers import gold_sets, honest
from tests.judging.stage import JUDGED, STRONG
from tests.until import until

MARKDOWN = "language: go\nasked: pricing, lot_full\n\n" + "\n\n".join(
    f"## {field.replace('_', ' ').capitalize()}\n\n{text}" for field, text in STRONG.items()
)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    path = tmp_path / "paper.md"
    path.write_text(MARKDOWN)
    return path


async def run(*arguments: str | Path, url: str = "") -> Result:
    """The command in a thread of its own, with this server for a judge, or none."""
    environ = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "", "ENGINE_JUDGE": ""}
    return await asyncio.to_thread(CliRunner().invoke, command, [str(one) for one in arguments], env=environ)


def told(ran: Result) -> str:
    assert ran.exit_code == EXIT_TOLD, ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.output.strip().splitlines()[-1]


async def test_each_criterion_is_told_as_it_lands_and_then_the_feedback(
    paper: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = JUDGED[-1].name
    model.script(Step(only=last, hold=0))
    monkeypatch.setenv("OPENAI_BASE_URL", model.url)
    monkeypatch.setenv("ENGINE_JUDGE", "openai")
    arguments = [str(paper), "--pack", "parking-garage"]
    judging = asyncio.create_task(asyncio.to_thread(command.main, arguments, standalone_mode=False))
    told = ""

    def all_but_the_last() -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return sum(f"  {criterion.name}: " in told for criterion in JUDGED) == len(JUDGED) - 1

    await until(all_but_the_last)
    assert f"  {last}: " not in told
    model.release()
    await judging
    rest = capsys.readouterr().out
    assert told.startswith("Multi-level parking garage, judged by openai\n")
    assert "  + C2.c  +1  Says what happens when no fitting spot is free." in told
    assert 'functional_req: "When no fitting spot is free' in told
    assert f"  {last}: " in rest
    assert " of 100: " in rest and rest.endswith("Practise that next.\n")
    assert "  Next time, show: " in rest


async def test_the_same_as_json_however_often(paper: Path, model: FakeModel) -> None:
    ran = await run(paper, "--pack", "parking-garage", "--json", "--repeat", "2", url=model.url)
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert [len(one["results"]) for one in said["runs"]] == [len(packs()["parking-garage"].rubric.criteria)] * 2
    assert said["judge"] == "openai" and said["model"]
    assert said["score"] == said["runs"][0]["total"]["score"] > 40
    assert said["narrative"].endswith("To improve: Practise that next.")
    assert all(model.asked(criterion.name) == 2 for criterion in JUDGED)
    marks = {call.body["messages"][1]["content"].split("⟦")[1].split("⟧")[0] for call in model.calls if call.criterion}
    assert len(marks) == 2  # a new one in each run


async def test_where_repeats_differ_is_told(paper: Path, model: FakeModel) -> None:
    model.script(Step(mode="nothing", only=JUDGED[0].name))
    ran = await run("--repeat", "2", paper, "--pack", "parking-garage", url=model.url)
    assert "2 runs: " in ran.output
    assert "C2.a  met in 1: A vehicle is admitted" in ran.output


async def test_offline_by_the_files_own_pack_and_without_a_server(tmp_path: Path) -> None:
    path = tmp_path / "paper.yaml"
    said = "a lock around find and claim of a spot for two gates, one step, atomic"
    path.write_text(f"pack: parking-garage\nasked: [pricing]\ncode: {said!r}\n")
    ran = await run(path)
    assert ran.exit_code == 0, ran.output
    assert "Nobody judged the quality of the design." in ran.output
    assert "+ C1.c" in ran.output


async def test_a_blank_text_is_told_and_nobody_asked(tmp_path: Path, model: FakeModel) -> None:
    path = tmp_path / "paper.yaml"
    path.write_text("extra: fine\n")
    ran = await run(path, "--pack", "parking-garage", url=model.url)
    assert "0 of 100: does not pass" in ran.output and "Nobody was asked: the text is short." in ran.output
    assert model.calls == []


async def test_a_judge_that_fails_is_told(paper: Path, model: FakeModel) -> None:
    model.script(Step(refusal="no", times=100))
    assert told(await run(paper, "--pack", "parking-garage", url=model.url)).endswith("after 1 tries: refused.")


@pytest.mark.parametrize(
    ("name", "text", "options", "says"),
    [
        ("a.yaml", "code: x", [], "Of which question?"),
        ("a.yaml", "code: x", ["--pack", "nope"], "no pack nope. There are "),
        ("a.yaml", "code: x", ["--pack", "news-feed"], "no rubric yet"),
        ("a.yaml", "code: x\nasked: [weather]", ["--pack", "parking-garage"], "has no rule weather; it has "),
        ("a.yaml", "cod: x", [], "unknown field `cod`"),
        ("a.yaml", "code: [", [], "not YAML"),
        ("a.yaml", "language: rust\ncode: x", [], "Invalid enum value 'rust'"),
        ("a.md", "just text", [], "no field holds text; the fields are functional_req, "),
        ("a.md", "# code\nx\n# code\ny", [], "code stands there twice"),
        ("a.yaml", "code: x", ["--pack", "parking-garage", "--judge", "openai"], "needs OPENAI_API_KEY"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_a_sentence(
    tmp_path: Path, name: str, text: str, options: list[str], says: str
) -> None:
    (tmp_path / name).write_text(text)
    assert says in told(await run(tmp_path / name, *options))


def test_markdown_and_yaml_say_the_same() -> None:
    paper = read_paper(MARKDOWN, markdown=True)
    assert paper.language == "go" and paper.asked == ("pricing", "lot_full")
    assert paper.fields == {field: STRONG[field].strip() for field in FIELDS}
    assert read_paper(json.dumps({"language": "go", "asked": paper.asked, **paper.fields}), markdown=False) == paper


def test_headings_of_their_own_and_a_fenced_section() -> None:
    paper = read_paper(
        "# extra\n## Trade-offs\nmany\n\n# Code\n```cpp\n# code in a comment? no: int x;\n```\n", markdown=True
    )
    assert paper.extra == "## Trade-offs\nmany"
    assert (paper.code, paper.language) == ("# code in a comment? no: int x;", "cpp")
    assert read_paper("# code\n```go\na\n```\nand\n```go\nb\n```", markdown=True).code.count("```") == 4


def test_a_field_has_the_bounds_of_an_interviews_field() -> None:
    with pytest.raises(SubmissionError, match="at most 65536 bytes"):
        read_paper(json.dumps({"code": "é" * 40_000}), markdown=False)


WEAK = next(gold for gold in gold_sets() if gold.pack == "url-shortener").submissions[0]


async def test_a_bench_over_http_on_a_gold_set_of_ones_own(model: FakeModel, tmp_path: Path) -> None:
    model.reader = honest
    gold = {"pack": "url-shortener", "submissions": [WEAK]}
    (tmp_path / "mine.yaml").write_bytes(msgspec.json.encode(gold))
    ran = await run("bench", "--gold", tmp_path, "--attacks", "2", "--repeat", "2", "--json", url=model.url)
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert (said["agreement"], said["kappa"], said["attacks_moved"], said["attacks_judged"]) == (1, 1, 0, 2)
    assert said["papers"] == [{"pack": "url-shortener", "name": "weak", "people": 2.5, "judge": [2.5, 2.5]}]
    assert said["calls"] == len(model.calls) >= 4 * 7 and said["input_tokens"] > 0


async def test_a_bench_offline_says_what_means_nothing() -> None:
    ran = await run("bench", "--attacks", "5", "--pack", "parking-garage", "--judge", "offline")
    assert ran.exit_code == 0, ran.output
    for figure in ("agreement with people", "Cohen's kappa", "mean score error", "spread of repeats", "drift of"):
        assert figure in ran.output
    assert "0 of 5" in ran.output
    assert "say nothing of judging" in ran.output
    assert "There is no gold set of news-feed." in told(await run("bench", "--pack", "news-feed"))
