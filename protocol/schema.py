"""The contract for machines, made from the messages: JSON Schema, AsyncAPI 3, TypeScript.

`python -m protocol.schema` writes the three files and the tables of README.md anew; a test sees that they are fresh.
"""

from __future__ import annotations

import json

from protocol.asyncapi import asyncapi
from protocol.json_schema import json_schema
from protocol.markdown import filled
from protocol.typescript import typescript


def files() -> dict[str, str]:
    """The generated files by name."""
    schema = json_schema()
    return {
        "schema.json": json.dumps(schema, indent=2) + "\n",
        "asyncapi.json": json.dumps(asyncapi(), indent=2) + "\n",
        "messages.ts": typescript(schema),
    }


def main() -> None:
    """Write the files beside this one: for those who build, never for the engine."""
    folder = __file__.rpartition("/")[0]
    with open(f"{folder}/README.md", encoding="utf-8") as file:
        readme = filled(file.read())
    for name, text in {**files(), "README.md": readme}.items():
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
