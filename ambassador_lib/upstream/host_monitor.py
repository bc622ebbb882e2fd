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


class HostMonitor:
    """What the detector knows of one host; `Host.outlier` holds it for as long as the host lives."""

    __slots__ = (
        "consecutive_5xx",
        "consecutive_gateway",
        "consecutive_local",
        "degraded_ends",
        "ends",
        "external",
        "local",
        "multiplier",
    )

    def __init__(self) -> None:
        self.multiplier = 0
        """How many times the base the last ejection lasted; one less for each tick in good standing."""
        self.ends = 0.0
        """When the running ejection is over; the host comes back with the tick after it."""
        self.degraded_ends = 0.0
        """The same where it was not ejected but taken for degraded."""
        self.external = Tally()
        self.local = Tally()
        self.reset()

    def reset(self) -> None:
        """Begin the consecutive counts anew."""
        self.consecutive_5xx = 0
        self.consecutive_gateway = 0
        self.consecutive_local = 0
