"""What is at work, and can be changed while calls run: clusters that warm up beside those that they follow; listeners
whose routes are exchanged.

All changes are made by whoever makes the client and, later on, on the control thread alone, so nothing here takes a
lock. Calls read dictionaries and attributes that are exchanged by one assignment each; a call under way keeps what it
holds, and asks again by name for each further try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from .call import Deadline
from .claims import ListenerEntries
from .entrance import Entry
from .errors import NotReadyError
from .handlers.route import ChooseRoute, Routes, Way
from .policy.model import RouteConfiguration

if TYPE_CHECKING:
    from .call import Next
    from .discovery import Discovery
    from .one_try import OneTry
    from .policy.model import Cluster, Listener
    from .routing.compiled import CompiledRoute
    from .routing.retry_rules import RetryRules
    from .routing.table import RouteTable
    from .runtime.base import Runtime
    from .runtime.gate import Gate
    from .upstream.upstream import Upstream


class Ends(Protocol):
    """What goes on for a cluster until it is told to end."""

    def cancel(self, timeout: float) -> object: ...


class ClusterAtWork:
    """One cluster: what is known of it, what looks after it, and the layers that a try goes through."""

    def __init__(
        self,
        upstream: Upstream,
        discovery: Discovery,
        chain: Next,
        below: Next,
        rules: RetryRules | None = None,
        first: OneTry | None = None,
        watches: Iterable[Ends] = (),
        written: Cluster | None = None,
    ) -> None:
        self.cluster = upstream.cluster
        self.written = written or upstream.cluster
        """The cluster as the policy or a file has it: `cluster` unless something stands in for it."""
        self.upstream = upstream
        self.discovery = discovery
        self.chain = chain
        self.below = below
        """The layers below the choice of a host, for a cluster that is part of another."""
        self.rules = rules
        self.first = first
        """A call's first try and the retries in one, where nothing lies above the try."""
        self._watches = tuple(watches)

    def stop(self, timeout: float = 1.0) -> None:
        """End what looks after the cluster; with a timeout of 0 it is told to end, and nothing blocks."""
        for watch in self._watches:
            watch.cancel(0)
        self.discovery.stop(timeout)

    def retire(self) -> None:
        """Serve no new call: what runs is finished, kept connections are closed."""
        self.stop(0)
        self.upstream.retire()

    def __repr__(self) -> str:
        return f"<ClusterAtWork {self.upstream!r}>"


class LiveClusters:
    """The clusters by name; `upstreams`, `chains`, `below`, `firsts` and `rules` (a cluster's own retry policy) are
    what calls read."""

    def __init__(self, start: Callable[[Cluster], ClusterAtWork]) -> None:
        self.on_names: Callable[[], None] = _nobody
        """Called after names have come or gone."""
        self.upstreams: dict[str, Upstream] = {}
        self.chains: dict[str, Next] = {}
        self.below: dict[str, Next] = {}
        self.rules: dict[str, RetryRules] = {}
        self.firsts: dict[str, OneTry] = {}
        self._start = start
        self._serving: dict[str, ClusterAtWork] = {}
        self._warming: dict[str, ClusterAtWork] = {}

    @property
    def names(self) -> frozenset[str]:
        """All names, those of clusters that are still warming up included."""
        return frozenset((*self._serving, *self._warming))

    @property
    def in_force(self) -> tuple[Cluster, ...]:
        """The clusters that serve, with the endpoints that were discovered for them."""
        return tuple(
            replace(made.cluster, load_assignment=made.upstream.assignment) for made in list(self._serving.values())
        )

    def put(self, cluster: Cluster, *, at_once: bool = False) -> None:
        """Have the cluster serve as soon as it is warm, or at once; until then the one of its name goes on.

        A cluster that is as it was keeps all that was learned about it.
        """
        name = cluster.name
        if name in self._warming and self._warming[name].written == cluster:
            return
        if name in self._serving and self._serving[name].written == cluster:
            self._cool(name)
            return
        made = self._start(cluster)
        self._cool(name)
        if at_once:
            self._serve(made)
            return
        self._warming[name] = made
        made.discovery.gate.add(_WhenOpen(lambda: self._warmed(made)))

    def warm_up_aggregates(self) -> None:
        """Let calls of a cluster that consists of others wait until these are warm, those at least that there are."""
        for made in list(self._serving.values()):
            if made.cluster.aggregate is not None:
                members = [self._serving[name] for name in made.cluster.aggregate.clusters if name in self._serving]
                _open_after([member.discovery.gate for member in members if member is not made], made.discovery.gate)

    def drop(self, name: str) -> None:
        """Have the cluster serve no more."""
        self._cool(name)
        self.upstreams.pop(name, None)
        self.chains.pop(name, None)
        self.below.pop(name, None)
        self.rules.pop(name, None)
        self.firsts.pop(name, None)
        gone = self._serving.pop(name, None)
        if gone is not None:
            self.on_names()
            gone.retire()

    async def ready(self, runtime: Runtime, timeout: float) -> None:
        """Wait for every cluster's first resolution and first health checks; `NotReadyError` after `timeout` s."""
        deadline = Deadline(runtime.now() + timeout)
        for name, made in [*self._serving.items(), *self._warming.items()]:
            gate = made.discovery.gate
            if gate.is_open:
                continue
            ticket = runtime.ticket()
            gate.add(ticket)
            try:
                if not await ticket.wait(deadline):
                    raise NotReadyError(f"cluster {name!r} was not ready within {timeout:g} s")
            finally:
                gate.discard(ticket)

    def close(self) -> None:
        """End discovery and health checks."""
        warming, self._warming = self._warming, {}
        all_of_them = [*warming.values(), *self._serving.values()]
        for made in all_of_them:
            made.stop(0)  # all are told first, so that waiting takes one bound and not one each
        for made in all_of_them:
            made.stop()

    def _cool(self, name: str) -> None:
        given_up = self._warming.pop(name, None)
        if given_up is not None:
            given_up.retire()

    def _warmed(self, made: ClusterAtWork) -> None:
        if self._warming.get(made.cluster.name) is made:
            del self._warming[made.cluster.name]
            self._serve(made)

    def _serve(self, made: ClusterAtWork) -> None:
        name = made.cluster.name
        before = self._serving.get(name)
        self._serving[name] = made
        self.chains[name] = made.chain
        self.below[name] = made.below
        if made.rules is not None:
            self.rules[name] = made.rules
        else:
            self.rules.pop(name, None)
        if made.first is not None:
            self.firsts[name] = made.first
        else:
            self.firsts.pop(name, None)
        self.upstreams[name] = made.upstream
        if before is None:
            self.on_names()
        else:
            before.retire()


def _nobody() -> None:
    """Nobody listens yet."""


def _open_after(gates: Sequence[Gate], last: Gate) -> None:
    """Open the last gate when all others are open."""

    def look() -> None:
        if all(gate.is_open for gate in gates):
            last.open()

    for gate in gates:
        gate.add(_WhenOpen(look))
    look()


class _WhenOpen:
    """Has something done when a gate opens, as if it were somebody who waits."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do

    async def wait(self, deadline: Deadline) -> bool:  # noqa: ARG002 - nobody does
        return False

    def wake(self) -> None:
        self._do()


CompileRoutes = Callable[[RouteConfiguration], tuple["RouteTable", Mapping["CompiledRoute", Way]]]


class ListenerAtWork:
    """One listener, by its address and by the names of its virtual hosts; `use` gives it its routes."""

    def __init__(
        self,
        listener: Listener,
        rule: int,
        choose: Callable[[], ChooseRoute],
        chain: Callable[[ChooseRoute], Next],
        compile_routes: CompileRoutes,
    ) -> None:
        self.listener = listener
        self.config = RouteConfiguration()
        self.end_routes: Callable[[], None] = _nobody
        self._compile = compile_routes
        self._choose, self._choose_by_host = choose(), choose()
        self._entry = Entry(rule, listener, chain(self._choose))
        self._by_host = Entry(2, listener, chain(self._choose_by_host))

    def use(self, config: RouteConfiguration) -> None:
        """Send new calls by these routes; the layers above them stay as they are."""
        table, ways = self._compile(config)
        self.config = config
        self._choose.routes = Routes(table, ways)
        self._choose_by_host.routes = Routes(table.ignoring_port(), ways)
        self.entries = ListenerEntries(table, self._entry, self._by_host)

    @property
    def in_force(self) -> Listener:
        """The listener with its routes, written down or discovered."""
        manager = self.listener.http_connection_manager
        if manager.rds is None:
            return self.listener
        return replace(self.listener, http_connection_manager=replace(manager, route_config=self.config))

    def __repr__(self) -> str:
        return f"<ListenerAtWork {self.listener.name}: {self.config.name}>"


class LiveListeners:
    """The listeners in their order: those that the policy writes down, then those that were discovered."""

    def __init__(self, start: Callable[[Listener], ListenerAtWork]) -> None:
        self.on_change: Callable[[], None] = _nobody
        self._start = start
        self._written: list[ListenerAtWork] = []
        self._found: dict[str, ListenerAtWork] = {}

    def __iter__(self) -> Iterator[ListenerAtWork]:
        return iter((*self._written, *self._found.values()))

    @property
    def names(self) -> frozenset[str]:
        """The names of those that were discovered."""
        return frozenset(self._found)

    def add(self, listener: Listener) -> None:
        """Add one that is written down."""
        self._written.append(self._start(listener))

    def put(self, listener: Listener) -> None:
        """Have new calls served by this listener; one that is as it was keeps what it has."""
        before = self._found.get(listener.name)
        if before is not None and before.listener == listener:
            return
        self._found[listener.name] = self._start(listener)
        if before is not None:
            before.end_routes()
        self.on_change()

    def drop(self, name: str) -> None:
        """Have the listener serve no new call."""
        self._found.pop(name).end_routes()
        self.on_change()
