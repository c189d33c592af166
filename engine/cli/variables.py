"""`engine settings`: every environment variable, read from the settings' own source, so that none is forgotten."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

import click

from engine import settings as source

WIDTH = 100


class Variable(NamedTuple):
    """One environment variable. `values` is how the source writes its type."""

    name: str
    values: str
    default: str
    meaning: str


@click.command("settings")
def command() -> None:
    """List every environment variable the engine reads, with its values, its default and what it means."""
    for variable in variables():
        click.echo(f"{variable.name} = {variable.default or '(empty)'}    {variable.values}")
        for line in textwrap.wrap(variable.meaning, WIDTH - 4):
            click.echo(f"    {line}")


def variables() -> Iterator[Variable]:
    """In the order of the source. A field's meaning is the string below it."""
    names = {field: name for name, field in source.UNPREFIXED.items()}
    body = ast.parse(textwrap.dedent(inspect.getsource(source.Settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            field = statement.target.id
            yield Variable(
                name=names.get(field, source.PREFIX + field.upper()),
                values=ast.unparse(statement.annotation),
                default=_default(field),
                meaning=_text(after),
            )


def _default(field: str) -> str:
    at = source.Settings.__struct_fields__.index(field)
    value = source.Settings.__struct_defaults__[at - len(source.Settings.__struct_fields__)]
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _text(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""
