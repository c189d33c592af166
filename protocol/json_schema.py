"""The messages as JSON Schema: the ground of the AsyncAPI document and of the TypeScript types."""

from __future__ import annotations

import inspect
import json
from typing import Any, get_args

import msgspec

from protocol import codec, examples
from protocol.messages import Frame, FromClient, ToClient
from protocol.words import Cursor, Fence

JsonSchema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FRAMES: tuple[type[Frame], ...] = (*get_args(FromClient), *get_args(ToClient))
_EXAMPLES: dict[type, Frame] = {type(frame): frame for frame in (*examples.FROM_CLIENT, *examples.TO_CLIENT)}


def frame_type(frame: type[Frame]) -> str:
    """The `t` of a frame."""
    return str(frame.__struct_config__.tag)


def sentence(frame: type[Frame]) -> str:
    """What a frame is, from its docstring or that of its body."""
    said = frame.__doc__ or next(f.type.__doc__ for f in msgspec.structs.fields(frame) if f.name == "d")
    return inspect.cleandoc(said)


def example(frame: type[Frame]) -> Any:
    """An example of a frame, as plain JSON."""
    return json.loads(codec.encode(_EXAMPLES[frame]))


def components(place: str) -> dict[str, JsonSchema]:
    """The schema of every frame and of every value in one, by name; references are `place` and the name."""
    _, found = msgspec.json.schema_components([*FRAMES, Cursor, Fence], ref_template=place + "{name}")
    renamed = json.loads(json.dumps(found), object_hook=lambda value: _tidy(value, place))
    named = {_name(name): {**schema, "title": _name(name)} for name, schema in renamed.items()}
    for frame in FRAMES:
        named[frame.__name__]["description"] = sentence(frame)
    return named


def json_schema() -> JsonSchema:
    """One document: all definitions, and the two unions as `FromClient` and `ToClient`."""
    place = "#/$defs/"
    unions = {
        name: {"title": name, "oneOf": [{"$ref": place + frame.__name__} for frame in get_args(union)]}
        for name, union in (("FromClient", FromClient), ("ToClient", ToClient))
    }
    return {
        "$schema": DIALECT,
        "title": "Frames of the interview socket",
        "description": "Unknown fields are ignored in both directions; unknown values of `t` are refused.",
        "oneOf": [{"$ref": place + name} for name in unions],
        "$defs": {**unions, **components(place)},
    }


def _name(name: str) -> str:
    """Frames keep their name; a body of the same name gets `Body`."""
    if name.startswith("protocol.events."):
        return name.removeprefix("protocol.events.") + "Body"
    return name.removeprefix("protocol.messages.")


def _tidy(value: dict[str, Any], place: str) -> dict[str, Any]:
    if isinstance(ref := value.get("$ref"), str):
        value["$ref"] = place + _name(ref.removeprefix(place))
    if isinstance(said := value.get("description"), str):
        value["description"] = inspect.cleandoc(said)
    if isinstance(words := value.get("enum"), list) and len(words) == 1:
        value["const"] = value.pop("enum")[0]
    return value
