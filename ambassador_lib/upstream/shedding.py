"""Requests that a cluster refuses before a host is picked: maintenance mode, `drop_overloads` (semantics 1.7, 8.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..algorithms.runtime_value import DENOMINATORS, share
from ..errors import LocalReply, LocalReplyError

if TYPE_CHECKING:
    from ..policy.model.cluster import ClusterLoadAssignment
    from ..runtime.base import Random


class Shedding:
    """The shares of one cluster's requests that are refused; there is one only where any is."""

    def __init__(self, random: Random, maintenance: tuple[int, int], dropped: tuple[int, int]) -> None:
        self._random = random
        self._maintenance = maintenance
        self._dropped = dropped

    @classmethod
    def of(
        cls, cluster: str, assignment: ClusterLoadAssignment | None, runtime: Mapping[str, Any], random: Random
    ) -> Shedding | None:
        """Return what is refused, `None` where nothing is. Runtime: `upstream.maintenance_mode.<cluster>`, percent."""
        maintenance = share(runtime.get(f"upstream.maintenance_mode.{cluster}")) or (0, 100)
        policy = assignment.policy if assignment is not None else None
        drops = policy.drop_overloads if policy is not None else ()
        given = drops[0].drop_percentage if drops else None
        dropped = (0, 100) if given is None else (given.numerator, DENOMINATORS[given.denominator])
        return cls(random, maintenance, dropped) if maintenance[0] or dropped[0] else None

    def check(self) -> None:
        """Raise the reply to a request that is refused."""
        if self._hit(*self._maintenance):
            reply = LocalReply(503, "maintenance mode", "UO", "maintenance_mode")
            reply.headers.append((b"x-envoy-overloaded", b"true"))
            raise LocalReplyError("the cluster is in maintenance mode", reply=reply)
        dropped, of = self._dropped
        if dropped >= of:
            reply = LocalReply(503, "unconditional drop overload", "UDO", "unconditional_drop_overload")
            reply.headers.append((b"x-envoy-unconditional-drop-overload", b"true"))
            raise LocalReplyError("drop_overloads drops every request", reply=reply)
        if self._hit(dropped, of):
            reply = LocalReply(503, "drop overload", "DO", "drop_overload")
            reply.headers.append((b"x-envoy-drop-overload", b"true"))
            raise LocalReplyError("drop_overloads dropped this request", reply=reply)

    def _hit(self, numerator: int, denominator: int) -> bool:
        return numerator > 0 and self._random.random() * denominator < numerator
