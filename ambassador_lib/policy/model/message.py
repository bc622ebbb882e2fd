"""How the model's classes are made: frozen dataclasses which share their methods, and keep only what is set.

`dataclasses` writes and compiles six functions for each class, and describes each field by an object of its own. For
all messages of the model that is 80 ms and 4 MB of every process that loads a policy, more than the rest of loading it.
Of the many fields of a route or a cluster a policy sets a few: what it does not set is the class's, and takes nothing
in each of a thousand routes.
"""

# ruff: noqa: SLF001 - the private names are of classes that are made here

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields, replace
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

FEW = 7
"""Fields up to which slots for all of them are smaller than a dictionary for those that are set."""
_set = object.__setattr__


class _Signature:
    """A class's parameters, for whoever asks `inspect` or `help`."""

    def __get__(self, _: object, cls: Any) -> inspect.Signature:
        def parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
            default = inspect.Parameter.empty if default is MISSING else default
            return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

        return inspect.Signature([parameter(one.name, one.default, one.type) for one in fields(cls)])


class _Fields:
    """A class's fields as `dataclasses` describes them, for the few who ask."""

    def __get__(self, _: object, cls: Any) -> dict[str, Field[Any]]:
        annotations = {name: hint for name, hint in cls.__annotations__.items() if name in cls._names}
        body = {"__annotations__": annotations, "__module__": cls.__module__, **cls._specified}
        plain: Any = dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=True)(type("_", (), body))
        described: dict[str, Field[Any]] = plain.__dataclass_fields__
        cls.__dataclass_fields__ = described
        return described


class Message:
    """What all messages are."""

    __slots__ = ()

    _names: ClassVar[Mapping[str, None]]
    """Of its fields, in order."""
    _required: ClassVar[tuple[str, ...]]
    """Of those that must be given."""
    _specified: ClassVar[Mapping[str, Any]]
    """The fields' defaults, where they have one; with `dataclasses.field` where that was said."""
    _kept: ClassVar[Mapping[str, Any]]
    """Defaults that each object keeps itself."""
    _shared: ClassVar[Mapping[str, Any]]
    """Defaults that objects leave to the class, also where they are given: `dataclasses.replace` gives all fields."""
    _values: ClassVar[Any]
    """Reads them all: one as it is, of none the class."""

    __signature__ = _Signature()
    __dataclass_fields__ = _Fields()

    def __init__(self, /, *unnamed: object, **given: Any) -> None:
        names = self._names
        values = {**self._kept, **given}
        if unnamed or not given.keys() <= names.keys() or any(name not in given for name in self._required):
            raise TypeError(f"{type(self).__qualname__}() {_what_is_wrong(self, unnamed, given)}")
        shared = self._shared
        for name, value in values.items():
            if value is not shared.get(name, MISSING):
                _set(self, name, value)

    @recursive_repr()
    def __repr__(self) -> str:
        described: Any = self
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(described) if one.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return values_of(self) == values_of(other)

    def __hash__(self) -> int:
        return hash(values_of(self))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        kept = getattr(self, "__dict__", self._names)  # a copy keeps no more than this does
        return {name: getattr(self, name) for name in self._names if name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            _set(self, name, value)

    def __replace__(self, /, **changes: Any) -> Any:
        described: Any = self
        return replace(described, **changes)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def message(cls: type[T]) -> type[T]:
    """Make what `dataclass(frozen=True, kw_only=True)` makes, without code of its own, and with slots if they are few.

    Defaults are values: nothing in the model can change, so that nothing needs a factory.
    """
    body = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    names = [name for name, hint in body.get("__annotations__", {}).items() if not hint.startswith("ClassVar")]
    specified = {name: body.pop(name) for name in names if name in body}
    defaults = {name: one.default if isinstance(one, Field) else one for name, one in specified.items()}
    assert MISSING not in defaults.values()
    has_slots = len(names) <= FEW
    body |= {"__slots__": tuple(names)} if has_slots else {"__slots__": ("__dict__",), **defaults}
    body |= {
        "_names": dict.fromkeys(names),
        "_required": tuple(name for name in names if name not in defaults),
        "_specified": defaults if defaults == specified else specified,
        "_kept": defaults if has_slots else {},
        "_shared": {} if has_slots else defaults,
        "_values": attrgetter(*(names or ("__class__",))),  # of a class without fields all objects are equal
    }
    complete: Any = type(cls.__name__, (Message,), body)
    return complete  # type: ignore[no-any-return]  # a type like `cls`


def is_message(value: object) -> bool:
    """Tell whether something is an object of the model, or a class of it."""
    return issubclass(value if isinstance(value, type) else type(value), Message)


def names_of(cls: type) -> Mapping[str, None]:
    """Return the names of a class's fields, in order."""
    names: Mapping[str, None] = cls._names  # type: ignore[attr-defined]
    return names


def required_of(cls: type) -> tuple[str, ...]:
    """Return the names of the fields that must be given."""
    names: tuple[str, ...] = cls._required  # type: ignore[attr-defined]
    return names


def values_of(message: Any) -> tuple[Any, ...]:
    """Return what the fields of an object hold, in order."""
    values: Any = message._values(message)
    count = len(message._names)
    return values if count > 1 else (values,) if count else ()


def _what_is_wrong(of: Message, unnamed: tuple[object, ...], given: Mapping[str, Any]) -> str:
    if unnamed:
        return "takes keyword arguments only"
    unknown = [name for name in given if name not in of._names]
    if unknown:
        return f"got an unexpected keyword argument {unknown[0]!r}"
    missing = [repr(name) for name in of._required if name not in given]
    return f"missing {len(missing)} required keyword-only argument(s): {', '.join(missing)}"
