"""The layers of a try in one coroutine do exactly what they do one by one: same story, same wire, nothing kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambassador_lib.call import CallReport
from ambassador_lib.stack import Stack
from ambassador_lib.testing.virtual_time import VirtualTime
from ambassador_lib.upstream.statistics import COUNTS
from tests.spec import documents
from tests.spec.documents import bootstrap

from .scene import Scene, trace

MODES = ("blocking", "asyncio")


@dataclass(frozen=True)
class Case:
    """A policy, what its upstream does in turn, and calls: when each begins, and how it is made."""

    route: dict[str, Any]
    cluster: dict[str, Any]
    script: list[str]
    calls: list[tuple[float, str, bytes | None]]


SECONDS = st.sampled_from(["0.2s", "0.5s", "1s", "3s"])
RETRIES = st.fixed_dictionaries(
    {"retry_on": st.sampled_from(["5xx", "reset,connect-failure", "5xx,reset,connect-failure", "retriable-4xx"])},
    optional={
        "num_retries": st.integers(0, 3),
        "per_try_timeout": SECONDS,
        "per_try_idle_timeout": SECONDS,
        "retry_back_off": st.just({"base_interval": "0.1s", "max_interval": "1s"}),
        "retry_host_predicate": st.just([{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{documents.TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }]),
        "host_selection_retry_max_attempts": st.just(2),
    },
)  # fmt: skip
ROUTES = st.fixed_dictionaries(
    {"timeout": st.sampled_from(["0s", "1s", "4s"])},
    optional={"retry_policy": RETRIES, "idle_timeout": SECONDS},
)
THRESHOLDS = st.fixed_dictionaries(
    {},
    optional={
        "max_connections": st.integers(1, 3),
        "max_pending_requests": st.integers(0, 3),
        "max_requests": st.integers(1, 4),
        "max_retries": st.integers(0, 2),
        "retry_budget": st.just({"budget_percent": {"value": 50.0}, "min_retry_concurrency": 1}),
    },
)
CLUSTERS = st.fixed_dictionaries(
    {},
    optional={
        "circuit_breakers": THRESHOLDS.map(lambda thresholds: {"thresholds": [thresholds]}),
        "metadata": st.just(documents.breaker(failure_rate="0.5", minimum_requests="3", window="10s", open_for="2s")),
        "outlier_detection": st.fixed_dictionaries(
            {"consecutive_5xx": st.integers(1, 3), "base_ejection_time": st.just("1s")},
            optional={"split_external_local_origin_errors": st.just(True)},
        ),
        "lb_policy": st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]),
    },
)
STEPS: dict[str, Callable[[Any], Any]] = {
    "works": lambda upstream: upstream.works(1),
    "503": lambda upstream: upstream.fails(1, status=503),
    "500, often": lambda upstream: upstream.fails(3, status=500),
    "409": lambda upstream: upstream.fails(1, status=409),
    "resets": lambda upstream: upstream.resets(times=1),
    "closes": lambda upstream: upstream.closes(times=1),
    "refuses": lambda upstream: upstream.refuses(2),
    "hangs": lambda upstream: upstream.hangs(1),
    "is slow": lambda upstream: upstream.is_slow(0.4, times=2),
    "is very slow": lambda upstream: upstream.is_slow(2, times=1),
    "drips": lambda upstream: upstream.drips(b"some", b"thing", every=0.3, times=1),
    "truncates": lambda upstream: upstream.truncates(1),
    "sends garbage": lambda upstream: upstream.sends_garbage(1),
}
CALLS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.1, 0.6, 1.5]),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from([None, b"body", b"x" * 2000]),
    ),
    min_size=1,
    max_size=7,
)
CASES = st.builds(
    Case, route=ROUTES, cluster=CLUSTERS, script=st.lists(st.sampled_from(list(STEPS)), max_size=6), calls=CALLS
)


def tell(response: httpx.Response | None, error: Exception | None) -> Any:
    """Return all that a call has come to."""
    report = response.extensions["ambassador"] if response is not None else getattr(error, "call", None)
    assert isinstance(report, CallReport)
    tries = [(a.started, a.duration, a.connected, a.interim, a.judged, str(a)) for a in report.attempts]
    story = (str(report), report.flags, report.details, report.duration, tries)
    if response is None:
        return story, type(error), str(error), type(error.__cause__)
    return story, response.status_code, response.headers.raw, response.content


def play(case: Case, mode: str, *, joined: bool) -> Any:
    """Make the calls in virtual time, and return what everybody saw, and what the cluster counted."""
    document = bootstrap(endpoints=2, route=case.route, cluster=case.cluster)

    async def call(scene: Scene, delay: float, method: str, body: bytes | None) -> Any:
        await scene.sleep(delay)
        try:
            return tell(await scene.request(method, content=body), None)
        except httpx.HTTPError as error:
            return tell(None, error)

    async def scenario(scene: Scene) -> Any:
        said: Any = scene.payment
        for step in case.script:
            said = STEPS[step](said).then
        told = await scene.together(*(lambda one=one: call(scene, *one) for one in case.calls))
        cluster = scene.client._ambassador()._acting._policy_at_work().clusters["c"]
        for limits in cluster.limits.values():
            assert (limits.active, limits.pending, limits.retries) == (0, 0, 0)
        assert [host.active for host in cluster.hosts] == [0, 0]
        counters = {name: getattr(cluster.counters, name) for name in (*COUNTS, "outlier_detection")}
        breaker = None if cluster.breaker is None else cluster.breaker.state
        return told, counters, breaker, [host.flags for host in cluster.hosts], trace(scene)

    with mock.patch.object(Stack, "joins", joined), VirtualTime(seed=7) as world:
        return Scene(mode, world).play(document, scenario)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=15)
@given(case=CASES)
def test_joined_layers_do_what_they_do_one_by_one(mode: str, case: Case) -> None:
    """Answers, errors, reports with their times, counters, and what the upstream saw are equal; nothing stays taken."""
    assert play(case, mode, joined=True) == play(case, mode, joined=False)
