"""From walked messages to the frozen model: generic where the model mirrors Envoy, adapters.py where it flattens it."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import PolicyFault
from .adapters import ADAPTERS
from .findings import Places
from .messages import CLASSES
from .model.core import FrozenDict
from .model.message import names_of, required_of
from .parsed import ParsedMessage, Place, Value

_BARE = frozenset({str, int, float, bool, bytes})
_PLACEHOLDERS: dict[str, object] = {"str": "", "int": 0, "float": 0.0, "bool": False}


class Builder:
    """Builds model objects and remembers their places."""

    def __init__(self) -> None:
        self.places = Places()
        self.faults: list[PolicyFault] = []
        self.warnings: list[PolicyFault] = []

    def build(self, parsed: ParsedMessage) -> Any:
        """Return the model's object for a message; `None` if the model has no class for it, or something is missing."""
        cls = CLASSES.get(parsed.name)
        if cls is None:
            return None
        arguments: dict[str, Any] = {}
        adapter = ADAPTERS.get(parsed.name)
        names = names_of(cls)
        for name, value in parsed.fields.items():
            if name in names and (adapter is None or name not in adapter.replaces):
                arguments[name] = self.value(value)
        if adapter is not None:
            adapter.function(self, parsed, arguments)
        missing = [name for name in required_of(cls) if arguments.get(name) is None]
        filled = [self._fill(cls, name, parsed, arguments) for name in missing]
        if not all(filled):
            return None
        built = cls(**arguments)
        self.places.note(built, parsed)
        return built

    def value(self, value: Value) -> Any:
        """Return the model's form of a field's value."""
        bare = value.value
        if type(bare) in _BARE:
            return bare
        if isinstance(bare, ParsedMessage):
            return self.build(bare)
        if isinstance(bare, tuple) and all(isinstance(item, Value) for item in bare):
            items = (self.value(item) for item in bare if not item.broken)
            return tuple(item for item in items if item is not None)
        if isinstance(bare, FrozenDict) and all(isinstance(item, Value) for item in bare.values()):
            built = {key: self.value(item) for key, item in bare.items() if not item.broken}
            return FrozenDict({key: item for key, item in built.items() if item is not None})
        return bare

    def replace(self, built: Any, **changes: object) -> Any:
        """Return a copy with other values, at the same place."""
        changed = dataclasses.replace(built, **changes)
        self.places.move(built, changed)
        return changed

    def fault(self, place: Place, message: str, hint: str = "") -> None:
        """Note something wrong."""
        self.faults.append(place.fault(message, hint))

    def warn(self, place: Place, message: str) -> None:
        """Note something that has no effect, or an effect that nobody expects."""
        self.warnings.append(place.fault(message))

    def _fill(self, cls: type, name: str, parsed: ParsedMessage, arguments: dict[str, Any]) -> bool:
        """Give a required field that is not set its type's default; where there is none, the message is incomplete."""
        hint = str(cls.__annotations__[name])
        placeholder = arguments[name] = _PLACEHOLDERS.get(hint, () if hint.startswith("tuple") else None)
        if placeholder is None and not parsed.doubtful and name not in parsed.fields:
            parsed.doubtful = True
            self.fault(parsed.where(name), "required field is missing")
        return placeholder is not None
