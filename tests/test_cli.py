"""The `engine` command: quick help, and a sentence that says what to do for whatever may be wrong around it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

import engine as engine_package
from engine.cli import EXIT_TOLD, Told
from engine.cli import engine as group
from engine.cli.servers import check_redis, check_servers, read_settings
from engine.cli.variables import variables
from engine.core.machine import Asked
from engine.core.matcher import Matched
from engine.embedded import Urls
from engine.live.keys import RECORD_KEY
from engine.record.catalog import load_packs
from engine.record.engine import make_engine
from engine.record.interviews import start
from engine.settings import Settings
from tests.core.shipped import SMALL
from tests.core.test_machine import PACK
from tests.record.test_events import Written, write
from tests.record.test_interviews import NOW, new_user, sibling
from tests.stack import every_redis

HEAVY = ("sqlalchemy", "openai", "taskiq", "starlette", "uvicorn", "numpy", "redis", "asyncpg", "alembic")
FREE_PORT = "0"

Ran = subprocess.CompletedProcess[str]
Engine = Callable[..., Ran]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Runs `engine <arguments>` with only these environment variables of ours."""

    def run(*arguments: str, **environ: str) -> Ran:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
        clean |= {"ENGINE_DATA_DIR": str(tmp_path / "data"), "ENGINE_PORT": FREE_PORT} | environ
        return subprocess.run(
            [sys.executable, "-m", "engine.cli", *arguments],
            env=clean,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def told(ran: Ran) -> str:
    """The one sentence of an error: no traceback, the agreed exit status."""
    assert ran.returncode == EXIT_TOLD, (ran.returncode, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr
    return ran.stderr.strip().splitlines()[-1]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from engine.cli import engine\n"
        "engine(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
    for name in ("up", "serve", "worker", "migrate", "packs", "settings"):
        assert f"\n  {name} " in ran.stdout


@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_has_help(engine: Engine, name: str) -> None:
    ran = engine(name, "--help")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"Usage: engine {name}")


def test_settings_lists_every_variable(engine: Engine) -> None:
    listed = engine("settings").stdout
    names = [variable.name for variable in variables()]
    assert len(names) == len(Settings.__struct_fields__)
    for name in (*names, "DATABASE_URL", "OPENAI_API_KEY", "ENGINE_PORT"):
        assert f"{name} = " in listed
    assert "ENGINE_PORT = 8000" in listed
    assert "At least 32 characters" in listed


def test_a_port_in_use_is_told_before_anything_starts(engine: Engine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = told(engine("up", "--port", str(port)))
    assert f"Port {port} of 127.0.0.1 is in use" in said and "--port" in said
    assert not (tmp_path / "data" / "postgres").exists()


def test_an_address_of_another_machine_is_told(engine: Engine) -> None:
    assert "ENGINE_HOST" in told(engine("up", "--host", "203.0.113.7"))
    assert "ENGINE_HOST" in told(engine("up", "--host", "no.such.host.invalid"))


def test_a_wrong_setting_is_told(engine: Engine) -> None:
    assert "ENGINE_JUDGE" in told(engine("up", ENGINE_JUDGE="perhaps"))
    assert "ENGINE_TYPO is not a setting" in told(engine("up", ENGINE_TYPO="1"))
    assert "ENGINE_SECRET_KEY" in told(engine("serve", ENGINE_MODE="production"))


def test_a_node_without_servers_is_told_where_to_find_some(engine: Engine) -> None:
    for name in ("serve", "worker"):
        said = told(engine(name))
        assert "DATABASE_URL" in said and "engine up" in said


def test_a_server_that_is_away_is_told(engine: Engine, server_urls: Urls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = {"DATABASE_URL": f"postgresql://a:b@127.0.0.1:{port}/c", "REDIS_URL": server_urls.redis}
    assert f"Postgres at 127.0.0.1:{port} (DATABASE_URL) cannot be used" in told(engine("migrate", **away))


async def test_servers_are_looked_at_before_they_are_used(server_urls: Urls) -> None:
    right = Settings(database_url=server_urls.database, redis_url=server_urls.redis)
    await check_servers(right)
    wrong = {
        "password authentication failed": {"database_url": right.database_url.replace("engine:", "engine:no")},
        'database "nowhere" does not exist': {"database_url": right.database_url.replace("/postgres", "/nowhere")},
        "REDIS_URL": {"redis_url": right.redis_url.replace("redis://:", "redis://:no")},
        "Redis at 127.0.0.1:1 (REDIS_URL) cannot be used": {"redis_url": "redis://127.0.0.1:1/0"},
        "cannot be used": {"redis_url": "http://127.0.0.1"},
        "cluster support disabled": {
            "redis_url": right.redis_url.replace("redis:", "redis+cluster:").removesuffix("/0")
        },
        "REDIS_URL: a cluster has no databases": {"redis_url": "redis+cluster://127.0.0.1:1/1"},
        "REDIS_URL: a cluster is written": {"redis_url": "redis+cluster://127.0.0.1:1,"},
        "127.0.0.1:1, 127.0.0.1:2 (REDIS_URL) cannot": {"redis_url": "redis+cluster://127.0.0.1:1,127.0.0.1:2"},
    }
    for sentence, change in wrong.items():
        with pytest.raises(Told) as error:
            await check_servers(msgspec.structs.replace(right, **change))
        assert sentence in error.value.message
        assert str(urlsplit(right.database_url).password) not in error.value.message


async def test_a_redis_that_would_drop_what_it_holds_is_refused(server_urls: Urls) -> None:
    """Row 20 of what may break. A policy without a bound drops nothing."""
    async with every_redis(server_urls.redis) as redises:
        await redises[0].config_set("maxmemory-policy", "volatile-lru")
        try:
            await check_redis(server_urls.redis)
            await redises[0].config_set("maxmemory", "1gb")
            with pytest.raises(Told) as error:
                await check_redis(server_urls.redis)
            assert "maxmemory-policy to noeviction" in error.value.message
        finally:
            await redises[0].config_set("maxmemory", "0")
            await redises[0].config_set("maxmemory-policy", "noeviction")


async def test_a_node_on_the_redis_of_another_record_tells_so_and_ends(
    engine: Engine, database_url: str, redis_url: str
) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.set(RECORD_KEY, "another")
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for command in (("serve", "--port", "0"), ("worker",)):
        ran = await asyncio.to_thread(engine, *command, **servers)
        assert ran.returncode == EXIT_TOLD
        assert "live for another Postgres database" in ran.stderr.strip().splitlines()[-1]


def test_packs_that_ship_are_sound_and_listed(engine: Engine) -> None:
    assert engine("packs", "lint").returncode == 0
    listed = engine("packs", "list").stdout
    for slug in ("parking-garage", "lru-cache-ttl", "url-shortener"):
        assert f"{slug} " in listed


def test_a_bad_pack_is_told_by_its_place(engine: Engine, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("schema: interview-pack/1\nid: x\n")
    ran = engine("packs", "lint", str(bad))
    assert told(ran) == "Error: 1 pack cannot be used."
    assert f"BAD {bad}" in ran.stdout and "version" in ran.stdout
    assert "No packs" in told(engine("packs", "lint", str(tmp_path / "data"), ENGINE_DATA_DIR=str(tmp_path)))


def test_packs_load_says_what_became_of_each(engine: Engine, database_url: str, redis_url: str) -> None:
    ran = engine("packs", "load", DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert "new: " in ran.stdout and "parking-garage" in ran.stdout, ran.stderr


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `engine packs <arguments>` in this process: a third of a second less each."""
    for name in [name for name in os.environ if name.startswith("ENGINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENGINE_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str, typed: str | bytes = "") -> Result:
        return CliRunner().invoke(group, ["packs", *arguments], input=typed)

    return run


def test_asking_a_pack_shows_the_decision_and_what_carried_it(packs: Callable[..., Result]) -> None:
    shown = packs("ask", "parking-garage", "How is the fee calculated?", "which database should I use").output
    answered, declined = shown.split('"which database should I use"\n', 1)
    for said in ("answer: `pricing`", "told: By the started hour", 'nearest of `pricing`: "how is the fee calculated"'):
        assert said in answered
    assert "a phrasing word for word" in answered
    assert "fallback: no rule" in declined and "`technology_choice`" in declined
    assert "told: I have no preference there." in declined
    assert "what speaks for `technology_choice` against" in declined


def test_asking_a_pack_takes_lines_a_file_and_gives_json(packs: Callable[..., Result]) -> None:
    file = str(Path(engine_package.__file__).parent / "packs" / "url-shortener.yaml")
    typed = b"do links expire\n\n\x1b[31m\xff\nhow long may a custom alias be? and do links expire?\n"
    ran = packs("ask", "--json", file, "-", typed=typed)
    lines = [msgspec.json.decode(line) for line in ran.output.splitlines()]
    assert [line["pack"] for line in lines] == ["url-shortener"] * 3
    assert [part["matched"]["zone"] for part in lines[0]["parts"]] == ["answer"]
    assert lines[0]["parts"][0]["response"].startswith("Links live for five years")
    assert [part["matched"]["intent"] for part in lines[2]["parts"]] == ["custom_alias", "expiry"]
    plain = packs("ask", file, "-", typed=typed).output
    assert "asks 2 things." in plain and "\x1b" not in plain


def test_asking_with_what_is_no_file_no_text_or_no_number_is_told(packs: Callable[..., Result]) -> None:
    assert "No such file" in packs("ask", "no-such.yaml", "is it big?").output
    assert "no pack" in packs("ask", "x" * 300, "is it big?").output
    assert packs("ask", "parking-garage", "\udcff how many floors?", "--json").exit_code == 0
    assert "--since" in packs("gaps", "--since", "nan").output


def test_asking_an_unknown_pack_lists_those_there_are(
    packs: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = packs("ask", "car-park", "how much")
    assert ran.exit_code == EXIT_TOLD
    assert "no pack `car-park`" in ran.output and "news-feed, parking-garage, " in ran.output
    (tmp_path / "mine.yaml").write_text(SMALL)
    monkeypatch.setenv("ENGINE_PACKS_DIR", str(tmp_path))
    assert packs("ask", "vending-machine", "who refills it").exit_code == 0


def test_gaps_need_a_record(
    packs: Callable[..., Result], server_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = packs("gaps")
    assert ran.exit_code == EXIT_TOLD and "There is no record. Set DATABASE_URL" in ran.output
    assert not (tmp_path / "data" / "postgres").exists()
    monkeypatch.setenv("DATABASE_URL", server_urls.database)
    ran = packs("gaps")
    assert ran.exit_code == EXIT_TOLD and "no tables yet" in ran.output


async def test_gaps_are_what_people_asked_and_no_rule_answers(
    packs: Callable[..., Result], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_engine(Settings(database_url=database_url))
    await load_packs(pool, [PACK, sibling("another")])
    for _ in range(2):
        row, _ = await start(pool, await new_user(pool), PACK.id, NOW)
        missed = Asked((Matched(text="Is the \x1b[31mglass bulletproof?", zone="fallback"),))
        assert await write(pool, Written(row).does(missed).batch())
    await pool.dispose()

    monkeypatch.setenv("DATABASE_URL", database_url)
    ran = await asyncio.to_thread(packs, "gaps")  # it has an event loop of its own
    assert ran.stdout.startswith("vending-machine: 2 questions of 2 people got no answer, or a wrong one\n")
    assert "2 questions of 2 people; nearest rule `" in ran.stdout
    assert "      Is the [31mglass bulletproof?" in ran.stdout
    assert "grouping 2 questions" in ran.stderr
    ran = await asyncio.to_thread(packs, "gaps", PACK.id, "--min", "3", "--json")
    found = msgspec.json.decode(ran.stdout)
    assert (found["question"], found["messages"], found["cut"], found["gaps"]) == (PACK.id, 2, False, [])
    ran = await asyncio.to_thread(packs, "gaps", "another", "--since", "7")
    assert ran.stdout == "Every question in the record got its answer.\n"
    ran = await asyncio.to_thread(packs, "gaps", "chess")
    assert ran.exit_code == EXIT_TOLD and "no question `chess`. Questions: another, vending-machine." in ran.stderr


def test_the_development_secret_is_kept_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ENGINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENGINE_DATA_DIR", str(tmp_path / "data"))
    first, second = read_settings(), read_settings(port=1)
    assert first.secret_key == second.secret_key and len(first.secret_key) >= 32
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0
    assert msgspec.structs.replace(second, port=first.port) == first
