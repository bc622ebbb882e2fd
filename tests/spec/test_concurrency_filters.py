"""admission_control and adaptive_concurrency (semantics 9.5, 9.6), through the public transports, in virtual time."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError

from .documents import ROUTER, TYPE, Document
from .harness import Body, Hang, Spec, bootstrap, story, told


def filtered(name: str, kind: str, **config: Any) -> Document:
    one = {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{TYPE}.filters.http.{kind}", **config}}
    return bootstrap(manager={"http_filters": [one, ROUTER]})


def admission(**config: Any) -> Document:
    return filtered("admission_control", "admission_control.v3.AdmissionControl", success_criteria={}, **config)


def adaptive(limit: Document, measured: Document) -> Document:
    return filtered(
        "adaptive_concurrency", "adaptive_concurrency.v3.AdaptiveConcurrency",
        gradient_controller_config={"concurrency_limit_params": limit, "min_rtt_calc_params": measured},
    )  # fmt: skip


class Draws:
    """A random whose numbers are all the same: 0 has every share drawn, the largest none below the whole."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int, /) -> int:
        return self._bits & ((1 << k) - 1)


def test_requests_are_refused_when_too_many_fail(spec: Spec) -> None:
    """The first failure makes a refusal possible; the refusal is an empty 503 without a flag, and no sample."""
    spec.given(admission(), 500, random=Draws(0), local_replies="response")
    assert 500 == spec.get().status_code
    for _ in range(3):
        refused = spec.get()
        assert (503, "", []) == (refused.status_code, refused.text, story(refused).flags)
        assert "denied_by_admission_control" == story(refused).details
    assert 1 == len(spec.upstream.seen)
    spec.clock.advance(31)
    assert 500 == spec.get().status_code
    spec.assert_nothing_held()


def test_a_refusal_can_be_raised(spec: Spec) -> None:
    """It is a reply of the sidecar's own like others."""
    spec.given(admission(), 500, random=Draws(0))
    spec.get()
    with pytest.raises(LocalReplyError) as caught:
        spec.get()
    assert "denied_by_admission_control" == told(caught.value).details


def test_nothing_is_refused_that_is_not_drawn(spec: Spec) -> None:
    """A share is a share: who draws above it passes."""
    spec.given(admission(), 500, random=Draws(9_999), local_replies="response")
    assert [500] * 20 == [spec.get().status_code for _ in range(20)]


@pytest.mark.parametrize(
    ("trailers", "refused"),
    [
        ([(b"grpc-status", b"14")], True),
        ([(b"grpc-status", b"5")], False),
        ([(b"x", b"y")], True),
        ([], False),
    ],
)
def test_a_grpc_status_in_the_trailers_counts(spec: Spec, trailers: Any, refused: object) -> None:
    """It is known with the end of the body; without trailers nothing is."""
    grpc = {"content-type": "application/grpc"}
    answers = [
        httpx.Response(200, headers=grpc, stream=Body(b"x"), extensions={"trailers": trailers}) for _ in range(2)
    ]
    spec.given(admission(), *answers, random=Draws(0), local_replies="response")
    spec.get()
    assert ("denied_by_admission_control" == story(spec.get()).details) is refused
    spec.assert_nothing_held()


def test_runtime_values_take_the_place_of_settings(spec: Spec) -> None:
    """One request at once in place of three, by `adaptive_concurrency.gradient_controller.*`."""
    policy = adaptive({"concurrency_update_interval": "1s"}, {"interval": "60s"})
    layer = {"adaptive_concurrency.gradient_controller.min_concurrency": 1}
    policy["layered_runtime"] = {"layers": [{"name": "own", "static_layer": layer}]}
    spec.given(policy, httpx.Response(200, stream=Body(b"x")), 200, local_replies="response")
    held = spec.get(stream=True)
    assert 503 == spec.get().status_code
    spec.close(held)
    assert 200 == spec.get().status_code


def test_the_limit_is_held_until_the_body_has_ended(spec: Spec) -> None:
    """It is given back whichever way a call ends."""
    policy = adaptive({"concurrency_update_interval": "1s"}, {"interval": "60s", "min_concurrency": 1})
    spec.given(policy, 200, local_replies="response")
    first = spec.get(stream=True)
    refused = spec.get()
    assert (503, "reached concurrency limit") == (refused.status_code, refused.text)
    assert ([], "reached_concurrency_limit") == (story(refused).flags, story(refused).details)
    spec.read(first)
    second = spec.get(stream=True)
    assert 200 == second.status_code
    spec.close(second)
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_failures_give_their_places_back(spec: Spec) -> None:
    """Exceptions, timeouts and broken bodies all do."""
    import httpx

    policy = adaptive({"concurrency_update_interval": "1s"}, {"interval": "60s", "min_concurrency": 1})
    broken = httpx.Response(200, stream=Body(b"x", error=httpx.ReadError("cut")))
    spec.given(policy, httpx.ConnectError("refused"), Hang(20), broken, 200)
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            spec.get()
    with pytest.raises(httpx.TimeoutException):
        spec.given(policy, Hang(5), 200).get(timeout=1.0)
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_the_limit_follows_latency(spec: Spec) -> None:
    """Measured with the first requests, it grows while they stay as quick."""
    policy = adaptive(
        {"concurrency_update_interval": "1s"},
        {"interval": "60s", "min_concurrency": 1, "request_count": 2, "jitter": {"value": 0}},
    )
    spec.given(policy, Hang(0.1), local_replies="response")
    held = []
    for _ in range(6):
        assert 200 == spec.get().status_code
        spec.clock.advance(1.5)
    while (response := spec.get(stream=True)).status_code == 200:
        held.append(response)
    assert len(held) >= 5
    for response in held:
        spec.close(response)
    spec.assert_nothing_held()
