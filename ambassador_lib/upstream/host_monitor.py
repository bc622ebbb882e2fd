"""What outlier detection remembers of one host."""

from __future__ import annotations


class Tally:
    """Tries of one host within the running interval."""

    __slots__ = ("successes", "total")

    def __init__(self) -> None:
        self.total = 0
        self.successes = 0

    def take_rate(self) -> tuple[float, int]:
        """Return the success rate in percent and the number of tries, and begin anew."""
        total, successes = self.total, self.successes
        self.total = self.successes = 0
        return (100 * successes / total if total else 0.0), total


class HostMonitor(Tally):
    """What the detector knows of one host; `Host.outlier` holds it for as long as the host lives.

    Its own tally is of what the host has answered: nearly all tries add to that, and of many hosts each object more is
    one more that is in no cache.
    """

    __slots__ = (
        "consecutive_5xx",
        "consecutive_gateway",
        "consecutive_local",
        "degraded_ends",
        "ends",
        "local",
        "multiplier",
    )

    def __init__(self) -> None:
        super().__init__()
        self.multiplier = 0
        """How many times the base the last ejection lasted; one less for each tick in good standing."""
        self.ends = 0.0
        """When the running ejection is over; the host comes back with the tick after it."""
        self.degraded_ends = 0.0
        """The same where it was not ejected but taken for degraded."""
        self.local: Tally | None = None
        """Of tries that failed before the host could answer, and those that did not; where they are told apart."""
        self.reset()

    def reset(self) -> None:
        """Begin the consecutive counts anew."""
        self.consecutive_5xx = 0
        self.consecutive_gateway = 0
        self.consecutive_local = 0
