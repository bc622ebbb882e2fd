"""How the model's classes are made: frozen dataclasses which share their methods, and keep only what is set.

`dataclasses` writes and compiles six functions for each class. For all messages of the model that is 60 ms and 3 MB of
every process that loads a policy, more than all the rest of loading it. Of the many fields of a route or a cluster a
policy sets a few: what it does not set is the class's, and takes nothing in each of a thousand routes.
"""

from __future__ import annotations

import inspect
from collections.abc import KeysView, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
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


class _Shared:
    """The methods. `_names` are a class's fields, `_required` those that must be given, `_values` reads all; `_slots`
    are the defaults that each object keeps itself."""

    _names: ClassVar[KeysView[str]]
    _required: ClassVar[KeysView[str]]
    _slots: ClassVar[Mapping[str, Any]]
    _values: ClassVar[attrgetter[Any]]

    __signature__ = _Signature()

    def __init__(self, /, *unnamed: object, **given: Any) -> None:
        if unnamed or not self._required <= given.keys() <= self._names:
            raise TypeError(f"{type(self).__qualname__}() {_what_is_wrong(self, unnamed, given)}")
        for name, value in {**self._slots, **given}.items():
            _set(self, name, value)

    @recursive_repr()
    def __repr__(self) -> str:
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)  # type: ignore[arg-type]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._values(self) == self._values(other))

    def __hash__(self) -> int:
        return hash(self._values(self))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            _set(self, name, value)


_METHODS = {name: found for name, found in vars(_Shared).items() if callable(found) or isinstance(found, _Signature)}


@dataclass_transform(kw_only_default=True, frozen_default=True)
def message(cls: type[T]) -> type[T]:
    """Make what `dataclass(frozen=True, kw_only=True)` makes, without code of its own, and with slots if they are few.

    Defaults are values: nothing in the model can change, so that nothing needs a factory.
    """
    for name, method in _METHODS.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    has_slots = len(inspect.get_annotations(cls)) <= FEW
    bare = cls if has_slots else _without_weak_references(cls)
    made: Any = dataclass(init=False, repr=False, eq=False, match_args=False, slots=has_slots, kw_only=True)(bare)
    found = fields(made)
    assert all(one.default_factory is MISSING for one in found)
    names = [one.name for one in found]
    defaults = {one.name: one.default for one in found if one.default is not MISSING}
    of_class = {
        "_names": dict.fromkeys(names).keys(),
        "_required": dict.fromkeys(name for name in names if name not in defaults).keys(),
        "_slots": defaults if has_slots else {},
        "_values": attrgetter(*(names or ("__class__",))),  # of a class without fields all objects are equal
    }
    for name, value in of_class.items():
        setattr(made, name, value)
    complete: type[T] = made
    return complete


def _without_weak_references(cls: type[T]) -> type[T]:
    """Make a class anew whose objects have a dictionary, and not the place for weak references that comes with it."""
    parts = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    return type(cls.__name__, cls.__bases__, {**parts, "__slots__": ("__dict__",)})


def _what_is_wrong(of: _Shared, unnamed: tuple[object, ...], given: Mapping[str, Any]) -> str:
    if unnamed:
        return "takes keyword arguments only"
    unknown = [name for name in given if name not in of._names]  # noqa: SLF001 - its own
    if unknown:
        return f"got an unexpected keyword argument {unknown[0]!r}"
    missing = [repr(name) for name in of._required if name not in given]  # noqa: SLF001 - its own
    return f"missing {len(missing)} required keyword-only argument(s): {', '.join(missing)}"
