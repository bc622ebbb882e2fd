"""What one contestant did in one turn."""

from __future__ import annotations

import base64
from array import array
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Turn:
    """Latencies in nanoseconds, of calls that were answered with a 200, and of those that an open loop never made.

    Of the latter (`unsent`) it is known how long they waited, which is less than they would have taken: left out, a
    contestant that does not keep up would look better for it. `errors` counts by the name of the class.
    """

    latencies: array[int] = field(default_factory=lambda: array("Q"))
    errors: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0

    @property
    def answered(self) -> int:
        return len(self.latencies) - self.unsent

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    def answer(self, begin: int, end: int) -> None:
        self.latencies.append(max(0, end - begin))

    def fail(self, error: BaseException) -> None:
        told = str(error) if type(error).__name__ == "UnexpectedStatusError" else type(error).__name__
        self.errors[told] = self.errors.get(told, 0) + 1

    def omit(self, waits: list[int]) -> None:
        """Take down calls that were due, and how long each had waited when it was given up."""
        self.latencies.extend(max(0, wait) for wait in waits)
        self.unsent += len(waits)

    def add(self, other: Turn) -> None:
        """Take over what another thread has seen."""
        self.latencies.extend(other.latencies)
        self.unsent += other.unsent
        for told, count in other.errors.items():
            self.errors[told] = self.errors.get(told, 0) + count

    def packed(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        plain = {name: getattr(self, name) for name in ("errors", "unsent", "seconds", "cpu", "memory")}
        return {**plain, "latencies": base64.b64encode(self.latencies.tobytes()).decode()}

    @classmethod
    def unpacked(cls, plain: dict[str, Any]) -> Turn:
        latencies: array[int] = array("Q")
        latencies.frombytes(base64.b64decode(plain["latencies"]))
        return cls(**{**plain, "latencies": latencies})
