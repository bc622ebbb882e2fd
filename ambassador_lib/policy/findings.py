"""What the checks find, and the places of the objects that they find it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PolicyFault
from .parsed import ParsedMessage, Place

if TYPE_CHECKING:
    from .model.tls import Secret


class Places:
    """Where the objects of a model came from, for faults found after it was built.

    A model that was written in Python has no places; its faults name the class and the field.
    """

    def __init__(self) -> None:
        self._origins: dict[int, tuple[object, ParsedMessage]] = {}
        self._misread: list[str] = []
        self.runtime: dict[str, Place] = {}

    def note(self, built: object, parsed: ParsedMessage) -> None:
        """Remember what `built` was made from; it is kept alive, so that its id stays its own."""
        self._origins[id(built)] = (built, parsed)
        if parsed.misread and parsed.place.path:
            self._misread.append(parsed.place.path)

    def move(self, built: object, changed: object) -> None:
        """Give the copy of an object its place."""
        self._origins[id(changed)] = (changed, self._origins[id(built)][1])

    def of(self, built: object, field: str = "", index: int | None = None) -> Place:
        """Return the place of an object, of its field, or of one item of the field."""
        origin = self._origins.get(id(built))
        if origin is None:
            path = ".".join(part for part in (type(built).__name__, field) if part)
            return Place("<python>", path if index is None else f"{path}[{index}]")
        parsed = origin[1]
        return parsed.where(field, index) if field else parsed.place

    def origin(self, built: object) -> ParsedMessage:
        """Return what an object was made from; it must have been noted."""
        return self._origins[id(built)][1]

    def is_set(self, built: object, field: str) -> bool:
        """Tell whether the field was set in what an object was made from."""
        origin = self._origins.get(id(built))
        return origin is not None and field in origin[1].fields

    def is_misread(self, place: Place) -> bool:
        """Tell whether a fault was found in what surrounds the place, so that more about it would mislead."""
        return any(place.path == path or place.path.startswith((f"{path}.", f"{path}[")) for path in self._misread)


class Findings:
    """Collects faults and warnings about objects of the model."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.secrets: Sequence[Secret] = ()
        """The policy's own, which TLS settings may name."""
        self.faults: list[PolicyFault] = []
        self.warnings: list[PolicyFault] = []

    def fault(self, built: object, field: str, message: str, hint: str = "", *, index: int | None = None) -> None:
        """Note something wrong with a field of an object."""
        self.fault_at(self._places.of(built, field, index), message, hint)

    def fault_at(self, place: Place, message: str, hint: str = "") -> None:
        """Note something wrong at a place, unless its surroundings are known to be broken."""
        if not self._places.is_misread(place):
            self.faults.append(place.fault(message, hint))

    def warn(self, built: object, field: str, message: str) -> None:
        """Note something that works and that the author should know."""
        self.warn_at(self._places.of(built, field), message)

    def warn_at(self, place: Place, message: str) -> None:
        """Note something that the author should know at a place."""
        self.warnings.append(place.fault(message))

    def is_set(self, built: object, field: str) -> bool:
        """Tell whether a file sets a field of an object, be it one that the model leaves out."""
        return self._places.is_set(built, field)

    def runtime_place(self, key: str) -> Place:
        """Return the place of a runtime value."""
        return self._places.runtime.get(key) or Place("<python>", f"Policy.runtime[{key!r}]")
