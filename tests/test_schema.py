"""The generated contract is fresh, whole, and true of what the codec reads and writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator

from protocol import codec, examples
from protocol.codes import Close, Refuse, comes_back
from protocol.json_schema import FRAMES, frame_type
from protocol.markdown import filled
from protocol.messages import Command, Frame, FromClient
from protocol.schema import files

FOLDER = Path(__file__).parent.parent / "protocol"
ALL_EXAMPLES = (*examples.FROM_CLIENT, *examples.TO_CLIENT)
OPERATION_KEYS = {"action", "summary", "channel", "messages", "reply"}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "asyncapi.json").read_text())
    return found


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / "schema.json").read_text())
    return Draft202012Validator({**schema, "oneOf": [{"$ref": f"#/$defs/{name}"}]})


def resolve(ref: str) -> Any:
    assert ref.startswith("#/"), ref
    found: Any = document()
    for part in ref[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def refs(value: Any) -> Iterator[str]:
    match value:
        case dict():
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from refs(item)
        case list():
            for item in value:
                yield from refs(item)


@pytest.mark.parametrize("name", ["schema.json", "asyncapi.json", "messages.ts"])
def test_generated_files_are_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run: python -m protocol.schema"


def test_the_tables_of_the_readme_are_fresh() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert readme == filled(readme), "run: python -m protocol.schema"


def test_the_examples_of_the_readme_are_frames() -> None:
    frames = list(_frames_of((FOLDER / "README.md").read_text()))
    assert {frame["t"] for frame in frames} >= {"hello", "draft.save", "draft.saved", "ack"}
    for frame in frames:
        assert validator("FromClient").is_valid(frame) or validator("ToClient").is_valid(frame), frame


def test_the_readme_names_every_file() -> None:
    readme = (FOLDER / "README.md").read_text()
    there = {path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".json", ".ts")}
    assert {name for name in there if f"`{name}`" not in readme} == {"__init__.py", "schema.py"}


def _frames_of(text: str) -> Iterator[dict[str, Any]]:
    """The JSON in a text's fenced blocks."""
    for block in re.findall(r"```json\n(.*?)```", text, re.S):
        rest = block.strip()
        while rest:
            frame, end = json.JSONDecoder().raw_decode(rest)
            yield frame
            rest = rest[end:].strip()


def test_every_frame_has_an_example() -> None:
    assert {type(frame) for frame in ALL_EXAMPLES} == set(FRAMES)


@pytest.mark.parametrize("frame", ALL_EXAMPLES, ids=lambda frame: type(frame).__name__)
def test_examples_fit_their_own_schema_and_their_union_only(frame: Frame) -> None:
    plain = json.loads(codec.encode(frame))
    ours, other = ("FromClient", "ToClient") if isinstance(frame, FromClient) else ("ToClient", "FromClient")
    validator(type(frame).__name__).validate(plain)
    validator(ours).validate(plain)
    assert plain["t"] == "time" or not validator(other).is_valid(plain)


@pytest.mark.parametrize("frame", examples.FROM_CLIENT, ids=lambda frame: type(frame).__name__)
def test_codec_and_schema_agree_on_what_is_missing(frame: Frame) -> None:
    plain = json.loads(codec.encode(frame))
    check = validator("FromClient")
    for key in [*plain, *(("d", inner) for inner in plain.get("d", {}))]:
        cut = json.loads(json.dumps(plain))
        inner = isinstance(key, tuple)
        del (cut["d"] if inner else cut)[key[1] if inner else key]
        assert check.is_valid(cut) == _decodes(cut), f"without {key}"


@pytest.mark.parametrize("frame", ALL_EXAMPLES, ids=lambda frame: type(frame).__name__)
def test_unknown_fields_are_allowed(frame: Frame) -> None:
    plain = json.loads(codec.encode(frame)) | {"later": 1}
    validator(type(frame).__name__).validate(plain)
    msgspec.convert(plain, type(frame))


def test_asyncapi_has_what_the_standard_asks() -> None:
    api = document()
    assert api["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(api["info"])
    for server in api["servers"].values():
        assert {"host", "protocol"} <= set(server)
        assert set(re.findall(r"{(\w+)}", server["host"])) == set(server["variables"])
    for key in (*api["components"]["messages"], *api["components"]["schemas"], *api["channels"], *api["operations"]):
        assert re.fullmatch(r"[\w.-]+", key)
    for name, operation in api["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert set(operation) <= OPERATION_KEYS, name
    own = {key for key in api if not key.startswith("x-")}
    assert own == {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"}


def test_every_reference_in_asyncapi_resolves() -> None:
    found = list(refs(document()))
    assert len(found) > 100
    for ref in found:
        assert isinstance(resolve(ref), dict), ref


def test_operations_speak_only_of_their_channel() -> None:
    for operation in document()["operations"].values():
        for part in (operation, operation.get("reply", {"messages": []})):
            for message in part["messages"]:
                assert message["$ref"].startswith(operation.get("channel")["$ref"] + "/messages/")


def test_every_message_is_described_used_and_exemplified() -> None:
    api = document()
    spoken = {ref for operation in api["operations"].values() for ref in refs(operation)}
    for frame in FRAMES:
        message = api["components"]["messages"][frame.__name__]
        assert message["name"] == frame_type(frame)
        assert len(message["summary"]) > 10
        schema = {"$ref": message["payload"]["$ref"], "components": api["components"]}
        for example in message["examples"]:
            Draft202012Validator(schema).validate(example["payload"])
        assert f"#/channels/socket/messages/{frame.__name__}" in spoken


def test_clients_words_are_received_and_ours_are_sent() -> None:
    for operation in document()["operations"].values():
        names = {ref.rpartition("/")[2] for ref in refs(operation["messages"])}
        theirs = {frame.__name__ for frame in get_args(FromClient)}
        assert names <= theirs if operation["action"] == "receive" else not names & theirs


def test_codes_are_all_told() -> None:
    api = document()
    assert {entry["code"] for entry in api["x-close-codes"]} == {int(code) for code in Close}
    for entry in api["x-close-codes"]:
        assert (entry["then"] != "stop") == comes_back(entry["code"])
    assert {entry["code"] for entry in api["x-refusals"]} == {refuse.value.name for refuse in Refuse}


def test_commands_may_not_be_workers_words() -> None:
    names = {frame_type(frame) for frame in get_args(Command)}
    assert not {name for name in names if name.startswith("evaluation.")} - {"evaluation.retry", "evaluation.appeal"}


def test_typescript_names_every_type_it_uses() -> None:
    text = (FOLDER / "messages.ts").read_text()
    declared = set(re.findall(r"^export (?:interface|type|const) (\w+)", text, re.M))
    code = re.sub(r"/\*\*.*?\*/|//[^\n]*|\"[^\"]*\"", "", text, flags=re.S)
    used = set(re.findall(r"(?<=[:|=<,] )\b([A-Z]\w+)\b", code))
    builtin = {"ReadonlyArray", "Record"}
    assert used - builtin <= declared
    assert {frame.__name__ for frame in FRAMES} <= declared
    assert code.count("{") == code.count("}")


def _decodes(plain: dict[str, Any]) -> bool:
    try:
        codec.decode(json.dumps(plain).encode())
    except codec.BadFrame:
        return False
    return True
