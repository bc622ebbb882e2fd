"""The kit of one test: its upstreams, what surrounds its clients, and what is to be said at its end.

The pytest fixtures are made of this, and so are the context managers for everything else:

    with Kit() as kit:
        payment = kit.upstreams("payment")
        kit.policy("envoy.yaml", upstreams={"billing_upstream": payment})
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .. import surroundings as world
from .misuse import MisuseError

if TYPE_CHECKING:
    from ..policy import Policy
    from ..transport import PolicySource
    from .around import Pointed
    from .simulated import SimulatedUpstream
    from .upstream import Upstream
    from .virtual_time import VirtualTime

U = TypeVar("U")


class UnfiredStepWarning(UserWarning):
    """A script said more than the test has seen: what it wanted to show may not have happened."""

    __module__ = "ambassador_lib.testing"


class Upstreams(Generic[U]):
    """Makes upstreams and finds them again: `upstreams("payment", endpoints=3)`, then `upstreams.payment`."""

    def __init__(self, make: Callable[..., U]) -> None:
        self._make = make
        self._made: dict[str, U] = {}

    def __call__(self, name: str = "upstream", **options: Any) -> U:
        """Make an upstream, with the options of its class; asked for again without any, return the same."""
        if name not in self._made:
            self._made[name] = self._make(name, **options)
        elif options:
            given = ", ".join(options)
            raise MisuseError(f"the upstream {name!r} is there already: give it {given} where it is first asked for")
        return self._made[name]

    def __getattr__(self, name: str) -> U:
        if name.startswith("_"):
            raise AttributeError(name)
        return self(name)

    def __iter__(self) -> Iterator[U]:
        return iter(list(self._made.values()))

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return f"<Upstreams {', '.join(self._made)}>"


class Kit:
    """Everything of one test; closed at its end, whatever happens."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.on_upstream: Callable[[Any], None] | None = None
        """Told of every upstream as soon as it is made."""
        self.warns_of_unfired = True
        """Whether steps that have not happened are told."""
        self.upstreams: Upstreams[Upstream] = Upstreams(self._make_real)
        self.simulated_upstreams: Upstreams[SimulatedUpstream] = Upstreams(self._make_simulated)
        self._around: Pointed | None = None
        self._virtual_time: VirtualTime | None = None
        self._policies: list[PolicySource] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            self.close()

    @property
    def virtual_time(self) -> VirtualTime:
        """Virtual time; asked for the first time, it begins, with nothing but simulated upstreams in the world."""
        if self._virtual_time is None:
            if self._around is not None:
                raise MisuseError(
                    "a policy is pointed at real upstreams already, whose time is real: ask for virtual time first, "
                    "and for `simulated_upstreams`"
                )
            self._begin_simulation()
        assert self._virtual_time is not None, "begun just now"
        return self._virtual_time

    @property
    def is_virtual(self) -> bool:
        """Whether virtual time has begun."""
        return self._virtual_time is not None

    def policy(self, policy: PolicySource, *, upstreams: Mapping[str, Any]) -> Policy:
        """Point the clusters of a policy at upstreams, for all clients of the process, and return it so pointed.

        `policy` is a path, a parsed document or a `Policy`, `upstreams` has an upstream for the name of each cluster
        that is called. Endpoints are swapped, and what TLS needs; certificates, keys and CAs that this machine does
        not have may be missing. Until the kit is closed, clients that the application makes itself, or has made long
        before, go to these upstreams, too.
        """
        __tracebackhide__ = True
        from ..transport import load

        if not isinstance(upstreams, Mapping):
            raise MisuseError(
                f"upstreams={upstreams!r}: must say which stands in for which cluster, such as "
                '{"billing_upstream": upstreams.payment}'
            )
        around = self._surroundings(upstreams)
        loaded = load(policy)
        if loaded is None:
            raise MisuseError("there is no policy to be pointed: give a path, a document or a Policy")
        around.pointing.add(upstreams, loaded)
        pointed = around.pointing.pointed(loaded)
        around.end()  # who has made calls already: by the new mapping from now on
        return pointed

    @property
    def misuses(self) -> list[str]:
        """What was told so far to somebody who may have caught it, in sentences."""
        told = [*(self._around.pointing.misuses if self._around is not None else ())]
        for upstream in self._everybody:
            told += upstream.misuses
        return list(dict.fromkeys(told))

    def check(self) -> None:
        """Raise `MisuseError` for what was misused and perhaps swallowed; warn of steps that have not happened."""
        __tracebackhide__ = True
        if misuses := self.misuses:
            told = self.told()
            raise MisuseError("\n".join([*misuses, *(["calls:", told] if told else [])]))
        for upstream in self._everybody if self.warns_of_unfired else ():
            for step in upstream.unfired:
                message = (
                    f"{step} has not happened: its turn did not come, or nobody called while it was there; call "
                    "once more, or leave it out"
                )
                warnings.warn(UnfiredStepWarning(message), stacklevel=2)

    @property
    def _everybody(self) -> list[Any]:
        return [*self.upstreams, *self.simulated_upstreams]

    def told(self) -> str:
        """Return the calls so far as a timeline; empty where there were none."""
        from .assertions import endpoint_name
        from .timeline import timeline

        calls = self._around.calls if self._around is not None else []
        return timeline(calls, name=endpoint_name) if calls else ""

    def close(self) -> None:
        """End everything; safe to repeat."""
        self._stack.close()

    def _surroundings(self, upstreams: Mapping[str, Any]) -> Pointed:
        from .mapping import is_simulated

        simulated = any(map(is_simulated, upstreams.values()))
        if self._around is None:
            if simulated:
                raise MisuseError(
                    "these simulated upstreams belong to another kit: point the policy with the one that made them "
                    "(the test's own `ambassador_policy`, or `kit.policy` of the same `simulation()`)"
                )
            from .around import Mapped

            around = Mapped()
            self._install(around)
        elif self.is_virtual and upstreams and not simulated:
            raise MisuseError(
                "real upstreams under virtual time: their sockets take real time; use `simulated_upstreams`, or do "
                "without virtual time"
            )
        assert self._around is not None, "installed just now"
        return self._around

    def _install(self, around: Pointed) -> None:
        try:
            world.install(around)
        except RuntimeError as error:
            raise MisuseError(f"one kit at a time: {error}") from None
        self._around = around
        self._stack.callback(world.uninstall, around)

    def _make_real(self, name: str, **options: Any) -> Upstream:
        from .upstream import Upstream

        options.setdefault("random", Random(f"{self.seed}/{name}"))
        made = Upstream(name=name, strict=True, **options)
        self._stack.callback(made.close)
        return self._made(made)

    def _make_simulated(self, name: str, **options: Any) -> SimulatedUpstream:
        from .simulated import SimulatedUpstream

        return self._made(SimulatedUpstream(name, world=self.virtual_time, strict=True, **options))

    def _made(self, upstream: U) -> U:
        if self.on_upstream is not None:
            self.on_upstream(upstream)
        return upstream

    def _begin_simulation(self) -> None:
        from .simulated_mapping import MappedSimulation
        from .virtual_time import VirtualTime

        self._virtual_time = self._stack.enter_context(VirtualTime(seed=self.seed))
        self._install(MappedSimulation(self._virtual_time))


@contextmanager
def mapped_policy(policy: PolicySource, *, upstreams: Mapping[str, Any]) -> Iterator[Policy]:
    """Point a policy at upstreams for as long as the `with` lasts: `ambassador_policy` for everything but pytest."""
    with Kit() as kit:
        yield kit.policy(policy, upstreams=upstreams)


@contextmanager
def simulation(*, seed: int = 0) -> Iterator[Kit]:
    """Have virtual time and simulated upstreams for as long as the `with` lasts; at its end misuse is told."""
    with Kit(seed=seed) as kit:
        kit.virtual_time  # noqa: B018 - begins
        yield kit
