"""Every value of the protocol, made at random from its type: a frame added tomorrow is tried tomorrow."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

LENGTH_MAX = 3
sayable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(sayable, max_size=8)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of this type that keep its constraints."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.IntType() | inspect.FloatType() | inspect.StrType():
            return _scalar(info)
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(_of(item), min_size=least or 0, max_size=LENGTH_MAX).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=LENGTH_MAX)
        case inspect.UnionType(types=types):
            return st.one_of([_of(one) for one in types])
        case inspect.StructType(cls=cls, fields=fields):
            return st.deferred(lambda: st.builds(cls, **{field.name: _of(field.type) for field in fields}))
    return {inspect.NoneType: st.none(), inspect.BoolType: st.booleans(), inspect.AnyType: plain}[type(info)]


def _scalar(info: inspect.IntType | inspect.FloatType | inspect.StrType) -> st.SearchStrategy[Any]:
    match info:
        case inspect.IntType(ge=ge, le=le):
            return st.integers(-(2**53) if ge is None else ge, 2**53 if le is None else le)
        case inspect.FloatType(ge=ge, le=le):
            return st.floats(ge, le, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=str() as pattern):
            return st.from_regex(pattern, fullmatch=True)
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(sayable, min_size=least or 0, max_size=min(most or LENGTH_MAX, LENGTH_MAX))
