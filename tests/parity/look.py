"""What can be looked at: each function names an observation and says what it must be.

`call` and `request` are indices: -1, the default, is the last one. Values may be matchers (`expect.py`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .expect import Between
from .model import Look, Run


def see(name: str, seen: Callable[[Run], Any], expected: Any) -> Look:
    """Anything else."""
    return Look(name, seen, expected)


# --- what the application got ----------------------------------------------------------------------------------------


def status(*expected: Any) -> Look:
    """The result of each call, in order: a status, `"timeout"` or `"transport-error"`."""
    return Look("status", lambda run: [outcome.result for outcome in run.outcomes], list(expected))


def tally(expected: Mapping[int | str, Any]) -> Look:
    """How many calls had which result."""
    return Look("tally", lambda run: dict(Counter(outcome.result for outcome in run.outcomes)), dict(expected))


def body(expected: Any, call: int = -1) -> Look:
    """The body of one response, as text."""
    return Look(f"body {call}", lambda run: run.outcomes[call].text, expected)


def bodies(*expected: Any) -> Look:
    return Look("bodies", lambda run: [outcome.text for outcome in run.outcomes], list(expected))


def spread(expected: Any, first: int = 0, last: int | None = None) -> Look:
    """How many of the calls `first` to before `last` had which body: with plain upstreams, who served them."""
    name = "spread" if (first, last) == (0, None) else f"spread {first}:{last}"
    return Look(name, lambda run: dict(Counter(outcome.text for outcome in run.outcomes[first:last])), expected)


def got(headers: Mapping[str, Any], call: int = -1) -> Look:
    """Some headers of one response: the value, a list of several lines, None where there is none."""
    names = list(headers)
    return Look(
        f"got {' '.join(names)} {call}",
        lambda run: {name: run.outcomes[call].header(name) for name in names},
        dict(headers),
    )


def got_each(name: str, *expected: Any) -> Look:
    """One header of each response."""
    return Look(f"got each {name}", lambda run: [outcome.header(name) for outcome in run.outcomes], list(expected))


def took(low: float, high: float, call: int = -1) -> Look:
    """Seconds that one call took, to the end of its body."""
    return Look(f"took {call}", lambda run: round(run.outcomes[call].elapsed, 3), Between(low, high))


def flags(*expected: Any) -> Look:
    """Envoy's response flags of each call (`"UF,URX"` sorted, `"-"`); calls one after the other only."""
    return Look("flags", lambda run: [outcome.flags for outcome in run.outcomes], list(expected))


def details(*expected: Any) -> Look:
    """Envoy's response code details of each call; calls one after the other only."""
    return Look("details", lambda run: [outcome.details for outcome in run.outcomes], list(expected))


# --- what the upstreams saw ------------------------------------------------------------------------------------------


def hits(**expected: Any) -> Look:
    """How many requests the upstreams had, health checks apart."""
    return Look("hits", lambda run: {name: len(run.at(name).requests) for name in expected}, expected)


def sent(headers: Mapping[str, Any], upstream: str = "a", request: int = -1) -> Look:
    """Some headers of one request as an upstream saw it; `:authority` stands for Host in HTTP/1 too."""
    names = list(headers)
    return Look(
        f"sent {upstream} {' '.join(names)} {request}",
        lambda run: {name: run.at(upstream).requests[request].header(name) for name in names},
        dict(headers),
    )


def sent_each(name: str, *expected: Any, upstream: str = "a") -> Look:
    """One header of each request as an upstream saw it."""
    return Look(
        f"sent each {upstream} {name}",
        lambda run: [request.header(name) for request in run.at(upstream).requests],
        list(expected),
    )


def lines(*expected: Any, upstream: str = "a") -> Look:
    """Method and target of each request, `"GET /x?y"`."""
    return Look(
        f"lines {upstream}", lambda run: [request.line for request in run.at(upstream).requests], list(expected)
    )


def received(*expected: Any, upstream: str = "a") -> Look:
    """The bodies of the requests."""
    return Look(
        f"received {upstream}",
        lambda run: [request.body.decode("latin-1") for request in run.at(upstream).requests],
        list(expected),
    )


def gaps(*expected: Any, upstream: str = "a") -> Look:
    """Seconds between the arrivals of one request and the next."""

    def seen(run: Run) -> list[float]:
        arrivals = [request.arrived for request in run.at(upstream).requests]
        return [round(later - earlier, 3) for earlier, later in itertools.pairwise(arrivals)]

    return Look(f"gaps {upstream}", seen, list(expected))


def connections(**expected: Any) -> Look:
    """How many connections the upstreams accepted."""
    return Look("connections", lambda run: {name: run.at(name).connections for name in expected}, expected)


def order(expected: Any, upstreams: Sequence[str] = ()) -> Look:
    """Who was hit, one letter (or name) after the other, in the order of arrival."""

    def seen(run: Run) -> str:
        arrivals = [(request.arrived, name) for name in upstreams or run.upstreams for request in run.at(name).requests]
        return "".join(name for _, name in sorted(arrivals))

    return Look("order", seen, expected)
