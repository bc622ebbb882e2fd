"""Hypothesis strategies for faults: what the marker `chaos` draws from, and property tests of one's own.

    @given(strategies.schedules())
    def test_no_schedule_charges_twice(schedule):
        with simulation() as kit:
            payment = kit.simulated_upstreams("payment")
            payment.replies(201)
            schedule.tell(payment)
            ...

A schedule is said of an upstream before everything else (`payment.first`), and its repr is the code that says it.
Needs the package `hypothesis` (extra `testing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError as error:
    raise ImportError("chaos and strategies need 'hypothesis': pip install 'ambassador_lib[testing]'") from error

from .latency import Latency, Seconds, exponential, lognormal, pareto, uniform
from .steps import code

STATUSES = (500, 502, 503, 504, 429)
PLACES = ("before headers", "mid-headers", "before body", "mid-body")


@dataclass(frozen=True, slots=True)
class Fault:
    """One clause: a verb and what it is given. Its repr is its code, without the upstream."""

    verb: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def say(self, whom: Any) -> Any:
        """Say it of an upstream, a part of one, or after `.then`."""
        return getattr(whom, self.verb)(*self.args, **dict(self.options))

    def __repr__(self) -> str:
        return code(self.verb, self.args, dict(self.options))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults one after the other, each of which ends; what a test scripts goes on in between and afterwards."""

    faults: tuple[Fault, ...] = ()

    def tell(self, upstream: Any) -> None:
        """Have the faults happen before anything else that is said of the upstream."""
        sentence = None
        for fault in self.faults:
            sentence = fault.say(upstream.first if sentence is None else sentence.then)

    def code(self, name: str = "upstream") -> str:
        """Return the code that says it of the upstream `name`; empty where nothing happens."""
        return f"{name}.first." + ".then.".join(map(repr, self.faults)) if self.faults else ""

    def __repr__(self) -> str:
        return self.code() or "Schedule()"


def latencies(longest: float = 2.0, *, distributions: bool = True) -> SearchStrategy[Seconds]:
    """Seconds that an answer takes, up to about `longest`: numbers, and (`distributions`) ways in which they vary."""
    plain = _seconds(longest)
    if not distributions:
        return plain
    above = _seconds(longest, least=0.01)
    return st.one_of(
        plain,
        st.tuples(plain, plain).map(lambda pair: uniform(min(pair), max(pair))),
        above.map(exponential),
        st.tuples(above, st.sampled_from((0.5, 1.0, 2.0))).map(lambda pair: lognormal(*pair)),
        st.tuples(above, st.sampled_from((1.2, 2.0))).map(lambda pair: pareto(*pair)),
    )


def statuses() -> SearchStrategy[int]:
    """Statuses of errors that upstreams answer with."""
    return st.sampled_from((503, *(status for status in STATUSES if status != 503)))


def faults(*, longest: float = 10.0, most: int = 3, connections: bool = True) -> SearchStrategy[Fault]:
    """One fault that ends: after `most` requests or connections, or after `longest` seconds at most.

    With `connections=False` upstreams can always be connected to.
    """
    times = st.integers(1, most)
    places = st.sampled_from(PLACES)
    lasting = _seconds(longest, least=0.1)
    kinds = [
        _fault("fails", args=st.tuples(times), status=statuses()),
        _fault("resets", at=places, times=times),
        _fault("closes", at=places, times=times),
        _fault("is_slow", args=st.tuples(latencies(longest)), times=times),
        _fault("hangs", args=st.tuples(times)),
        _fault("truncates", args=st.tuples(times)),
        _fault("asks_to_wait", args=st.tuples(st.integers(1, max(1, int(longest)))), times=times),
        _fault("sends_garbage", times=times),
        _fault("lies_about_length", by=st.sampled_from((1, -1)), times=times),
    ]
    if connections:
        kinds += [
            _fault("refuses", args=st.tuples(times)),
            _fault("is_down", for_=lasting),
            _fault("black_holes", for_=lasting),
        ]
    return st.one_of(kinds)


def pauses(*, longest: float = 10.0, most: int = 3) -> SearchStrategy[Fault]:
    """A while without faults: some requests, or some seconds, that are answered as if nothing were wrong."""
    return st.one_of(_fault("works", times=st.integers(1, most)), _fault("works", for_=_seconds(longest, least=0.1)))


def schedules(
    one: SearchStrategy[Fault] | None = None, *, most_faults: int = 4, with_pauses: bool = True
) -> SearchStrategy[Schedule]:
    """Up to `most_faults` faults, one after the other, drawn from `one` (default: `faults()`), with pauses between."""
    one = faults() if one is None else one
    clauses = st.lists(one if not with_pauses else st.one_of(one, pauses()), max_size=most_faults)
    return clauses.map(lambda found: Schedule(_told(found)))


def _told(clauses: Sequence[Fault]) -> tuple[Fault, ...]:
    """Leave out pauses at the end, which nobody notices."""
    found = list(clauses)
    while found and found[-1].verb == "works":
        found.pop()
    return tuple(found)


def _seconds(longest: float, *, least: float = 0.0) -> SearchStrategy[float]:
    """Tenths and hundredths, so that they can be read."""
    step = 0.1 if longest >= 1 else 0.01
    first = math.ceil(least / step)
    return st.integers(first, max(first, math.floor(longest / step))).map(lambda number: round(number * step, 3))


def _fault(
    verb: str, *, args: SearchStrategy[Any] | None = None, **options: SearchStrategy[Any]
) -> SearchStrategy[Fault]:
    return st.builds(
        lambda given, named: Fault(verb, given, tuple(named.items())),
        st.just(()) if args is None else args,
        st.fixed_dictionaries(options),
    )


__all__ = ["Fault", "Latency", "Schedule", "Seconds", "faults", "latencies", "pauses", "schedules", "statuses"]
