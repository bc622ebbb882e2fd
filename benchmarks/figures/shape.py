"""Dataclasses out of what JSON knows, as their annotations say."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value`, as `json` gives it, as a `kind`; `ValueError` where it is none."""
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else from_plain(next(one for one in arguments if one is not type(None)), value)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {arguments}")
        return value
    if origin is tuple:
        return _tuple(arguments, value)
    if origin is dict:
        _check(value, dict)
        return {key: from_plain(arguments[1], one) for key, one in value.items()}
    if kind is float:
        _check(value, int, float)
        return float(value)
    _check(value, kind)
    return value


def _dataclass(kind: Any, value: Any) -> Any:
    _check(value, dict)
    hints = typing.get_type_hints(kind)
    if unknown := value.keys() - hints.keys():
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{name: from_plain(hints[name], one) for name, one in value.items()})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _tuple(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    _check(value, list, tuple)
    if arguments[-1] is Ellipsis:
        return tuple(from_plain(arguments[0], one) for one in value)
    return tuple(from_plain(one, each) for one, each in zip(arguments, value, strict=True))


def _check(value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ValueError(f"{value!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
