"""The contract as TypeScript types, written from the JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from protocol import words as w
from protocol.codes import Close, Refuse

_PLACE = "#/$defs/"
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_HEAD = """\
// Made by `python -m protocol.schema` from the messages; not to be edited.
// Fields with `?` may be left out. Receivers ignore fields they do not know.
"""


def typescript(schema: dict[str, Any]) -> str:
    """The whole file: constants, then one type a definition."""
    parts = [_HEAD, *_constants()]
    parts += [_definition(name, definition) for name, definition in schema["$defs"].items()]
    return "\n".join(parts)


def _constants() -> list[str]:
    closes = "".join(f"  {code.name}: {int(code)},\n" for code in Close)
    refusals = "".join(f"\n  | {json.dumps(refuse.value.name)}" for refuse in Refuse)
    return [
        f"export const PROTOCOL_VERSION = {w.PROTOCOL_VERSION};",
        f'export const SUBPROTOCOL_JSON = "{w.SUBPROTOCOL_JSON}";',
        f'export const TICKET_PREFIX = "{w.TICKET_PREFIX}";\n',
        f"export const Close = {{\n{closes}}} as const;\n",
        f"/** `code` of an `err`; more may come. */\nexport type RefusalCode ={refusals};\n",
    ]


def _definition(name: str, schema: dict[str, Any]) -> str:
    doc = _doc(schema.get("description"), "")
    if schema.get("type") != "object" or "properties" not in schema:
        return f"{doc}export type {name} = {_type(schema)};\n"
    required = schema.get("required", ())
    lines = [_property(key, value, key in required) for key, value in schema["properties"].items()]
    return f"{doc}export interface {name} {{\n{''.join(lines)}}}\n"


def _property(key: str, schema: dict[str, Any], required: bool) -> str:
    return f"{_doc(schema.get('description'), '  ')}  {key}{'' if required else '?'}: {_type(schema)};\n"


def _type(schema: dict[str, Any]) -> str:
    match schema:
        case {"$ref": ref}:
            return str(ref.removeprefix(_PLACE))
        case {"const": word}:
            return json.dumps(word)
        case {"enum": words}:
            return " | ".join(map(json.dumps, words))
        case {"anyOf": options} | {"oneOf": options}:
            return " | ".join(map(_type, options))
        case {"type": "array", "items": items}:
            return f"ReadonlyArray<{_type(items)}>"
        case {"type": "object"}:
            values = schema.get("additionalProperties")
            return f"Record<string, {_type(values) if isinstance(values, dict) else 'unknown'}>"
        case {"type": plain}:
            return _PLAIN[plain]
        case _:
            return "unknown"


def _doc(said: str | None, indent: str) -> str:
    if not said:
        return ""
    lines = said.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
