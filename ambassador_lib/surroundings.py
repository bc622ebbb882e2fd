"""What may stand in for the world around clients while tests run: time, chance, networks, names, other endpoints.

In production nothing is installed, and all that a call does about it is to read one global. While something is, each
transport, those made long before included, lets a twin of its own serve its calls: the same policy and the same
parameters over what the surroundings say. Twins are made when they are first needed and end with the surroundings, so
that code which builds its own `Client`, even at import, is tested as it is.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    import httpx

    from .call import Call
    from .discovery.resolver import Resolver
    from .engine.wire import Network
    from .policy.model import Cluster
    from .runtime.base import Clock, Random
    from .runtime.control import ControlThread


class Guest(Protocol):
    """A transport that keeps a twin for the surroundings."""

    def leave(self) -> None:
        """The surroundings end: close the twin."""


class Surroundings:
    """Everything as usual; subclasses say what is different. Its hooks may raise what ends a test."""

    clock: Clock | None = None
    """In place of the system's time; see `own_clock`."""
    random: Random | None = None
    """In place of the system's chance; one that the application brings itself wins."""
    control: ControlThread | None = None
    """What runs discovery and health checks, in place of the process's control thread."""
    lenient = False
    """Whether certificates, keys, CAs, files of endpoints and folders of logs that a policy names may be missing when
    it is loaded."""

    def __init__(self) -> None:
        self._guests: weakref.WeakSet[Guest] = weakref.WeakSet()
        self.making = threading.RLock()
        """Held while a twin is made: threads that come at once share it, and none is made when the end has come."""
        self.is_over = False
        """Whether they have been uninstalled."""

    def own_clock(self, clock: Clock) -> Clock:
        """Return the clock to use where the application brings one: its own."""
        return clock

    def network(self, *, blocking: bool) -> Network | None:
        """Return what connections are made with, `None` for sockets.

        It takes the place of an `inner=` of the application that dials; any other `inner` goes on seeing the calls.
        """
        return None

    def resolver(self, cluster: Cluster) -> Resolver | None:
        """Return what looks the cluster's names up, `None` for what the policy says."""
        return None

    def cluster(self, cluster: Cluster) -> Cluster | None:
        """Return what is put to work in place of a cluster, written down or discovered; `None`: see `refuse`."""
        return cluster

    def mocked(self, cluster: Cluster) -> Cluster:
        """Return what is put to work in place of a cluster for which a mock of httpx's transports answers."""
        return cluster

    def refuse(self, cluster: str) -> NoReturn:
        """A call is about to go to a cluster for which `cluster` has returned `None`: raise."""
        raise RuntimeError(f"nothing stands in for the cluster {cluster!r}")

    def read(self, path: str) -> bytes | None:
        """Return the content of a file that a policy names and this machine does not have, `None` for none."""
        return None

    def check_loop(self) -> None:
        """A client for event loops is used: raise where its loop does not follow the surroundings."""

    def noted(self, call: Call) -> None:
        """A call begins."""

    def passthrough(self, request: httpx.Request, transport: Any) -> Any:
        """Return the transport for a URL that no policy claims: the usual one; or raise."""
        return transport

    def welcome(self, guest: Guest) -> None:
        """Have `guest` told when the surroundings end, as long as it lives."""
        self._guests.add(guest)

    def check_going(self) -> None:
        """Raise where they have ended meanwhile: a thread that outlives them must not reach the world by mistake."""
        if self.is_over:
            raise RuntimeError(f"Cannot send a request: {self!r} is not there any more, it was uninstalled meanwhile.")

    def end(self) -> None:
        """Close every twin; `uninstall` does it. Those that are still called are made anew while it is installed."""
        with self.making:
            guests = list(self._guests)
            self._guests.clear()
        errors: list[Exception] = []
        for guest in guests:
            try:
                guest.leave()
            except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else ExceptionGroup("several clients could not be closed", errors)


installed: Surroundings | None = None
"""What is around clients now; `None` in production. Set by `install` and `uninstall`."""
begins_late = False
"""Whether clients that are made now look nothing up and check nobody before their first call: what is made at import,
while tests are collected, must not reach production."""
_before: tuple[Callable[[str], bytes | None] | None, bool] = (None, False)
"""What stood in for missing files when there were no surroundings."""


def install(surroundings: Surroundings) -> None:
    """Put `surroundings` around all clients of the process; `RuntimeError` where there are others already."""
    global installed, _before
    if installed is not None:
        raise RuntimeError(f"{installed!r} is installed already: one at a time, see `uninstall`")
    from .policy import sources

    surroundings.is_over = False
    _before = sources.stand_in, sources.is_lenient
    sources.stand_in, sources.is_lenient = surroundings.read, surroundings.lenient
    installed = surroundings


def uninstall(surroundings: Surroundings) -> None:
    """Let clients see the world again, and end what `surroundings` made. Safe to repeat."""
    global installed
    if installed is not surroundings:
        return
    from .policy import sources

    installed = None
    sources.stand_in, sources.is_lenient = _before
    with surroundings.making:
        surroundings.is_over = True
    surroundings.end()
