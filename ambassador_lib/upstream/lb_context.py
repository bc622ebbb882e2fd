"""What one pick of a host depends on beside the hosts (Envoy's `LoadBalancerContext`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..algorithms.priority import AttemptedPriorities, OnePriority
    from ..runtime.base import Random
    from .host import Host

Criterion = tuple[str, Any]
"""A key of `metadata_match` and its value."""


class LbContext:
    """One pick, with its reselections; made for the clusters and retries that need it, and for one call alone.

    `hash_of` computes the request's hash, if it has one. `criteria` are what the route's `metadata_match` asks for,
    sorted by key. While `reject` says no, the pick is made again, `reselect` times at most. `priorities` are the
    call's, where its retries go by priority.
    """

    __slots__ = ("_hash", "_hash_of", "criteria", "priorities", "reject", "reselect", "skipped")

    def __init__(
        self,
        *,
        hash_of: Callable[[], int | None] | None = None,
        criteria: tuple[Criterion, ...] | None = None,
        reject: Callable[[Host], bool] | None = None,
        reselect: int = 0,
        priorities: AttemptedPriorities | OnePriority | None = None,
    ) -> None:
        self._hash_of = hash_of
        self._hash: int | None = None
        self.criteria = criteria
        self.reject = reject
        self.reselect = reselect
        self.priorities = priorities
        self.skipped = 0
        """How many picks were rejected so far."""

    def hash(self, random: Random) -> int:
        """Return the request's hash, computed once; a random one where no policy found anything to hash."""
        value = self._hash
        if value is None:
            if self._hash_of is not None:
                value = self._hash_of()
            if value is None:
                value = random.getrandbits(64)
            self._hash = value
        return value

    def at(self, priority: OnePriority) -> LbContext:
        """Return the same pick at one priority."""
        other = self.with_criteria(self.criteria or ())
        other.criteria = self.criteria
        other.priorities = priority
        return other

    def with_criteria(self, criteria: tuple[Criterion, ...]) -> LbContext:
        """Return the same pick by other criteria; the hash is the same."""
        other = LbContext(
            hash_of=self._hash_of, criteria=criteria, reject=self.reject, reselect=self.reselect,
            priorities=self.priorities,
        )  # fmt: skip
        other._hash = self._hash
        other.skipped = self.skipped
        return other
