"""Timeouts that the application sets itself, in front of the policy's as in front of a sidecar (contract)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import RouteTimeoutError

from .documents import bootstrap
from .harness import Body, Hang, Spec, told

QUIET = bootstrap(route={"timeout": "0s", "idle_timeout": "0s"})


def impatient(spec: Spec, **arguments: Any) -> httpx.ReadTimeout:
    with pytest.raises(httpx.ReadTimeout) as caught:
        spec.get(**arguments)
    assert type(caught.value) is httpx.ReadTimeout
    assert ["DC"] == told(caught.value).flags
    spec.assert_nothing_held()
    return caught.value


def test_nothing_set_means_the_policys_alone(spec: Spec) -> None:
    """httpx's 5 s do not apply where nobody asked for them."""
    assert 200 == spec.given_client(bootstrap(), Hang(14)).get().status_code
    with pytest.raises(RouteTimeoutError):
        spec.given_client(bootstrap(), Hang(16)).get()
    assert 200 == spec.given_client(QUIET, Hang(3000)).get().status_code


@pytest.mark.parametrize("value", [5, 5.0, httpx.Timeout(5.0)])
def test_what_the_client_was_given_counts(spec: Spec, value: Any) -> None:
    """Also where it is the number that is httpx's default."""
    impatient(spec.given_client(bootstrap(), Hang(6), timeout=value))
    spec.given_client(bootstrap(), Hang(6))
    spec.client.timeout = value
    impatient(spec)


def test_the_transport_may_be_given_one(spec: Spec) -> None:
    """`timeout=` of a transport serves where the client around it says nothing; a call's own counts first."""
    spec.given(bootstrap(), Hang(3), timeout=2)
    impatient(spec)
    assert 200 == spec.get(timeout=4).status_code


def test_a_calls_own_counts_for_that_call(spec: Spec) -> None:
    """`timeout=` of a call replaces the client's, `None` switches it off."""
    spec.given_client(bootstrap(), Hang(2), timeout=1)
    impatient(spec)
    assert 200 == spec.get(timeout=3).status_code
    assert 200 == spec.get(timeout=None).status_code
    impatient(spec, timeout=1.5)


def test_a_pool_or_connect_timeout_concerns_other_urls(spec: Spec) -> None:
    """For the policy's URLs connecting is the policy's business; passthrough gets them all."""
    timeout = httpx.Timeout(None, connect=0.001, pool=0.001)
    spec.given_client(QUIET, Hang(100), timeout=timeout)
    assert 200 == spec.get().status_code
    spec.get("http://example.org/")
    assert timeout.as_dict() == spec.upstream.seen[1].extensions["timeout"]


def test_a_wait_goes_over_all_tries(spec: Spec) -> None:
    """Back-off and every try are one wait to the application."""
    retry = {"retry_policy": {"retry_on": "5xx", "num_retries": 5, "retry_back_off": {"base_interval": "0.001s"}}}
    spec.given(bootstrap(route=retry), Hang(0.4, 503))
    started = spec.clock.monotonic()
    error = impatient(spec, timeout=1)
    assert 1 <= spec.clock.monotonic() - started < 1.3
    assert 3 == len(told(error).attempts)


def test_a_byte_begins_a_new_wait(spec: Spec) -> None:
    """`read` bounds the wait between bytes, not the whole body."""
    body = Body(*[b"x"] * 5, on_chunk=lambda: spec.clock.advance(0.9))
    spec.given(bootstrap(), httpx.Response(200, stream=body))
    assert b"xxxxx" == spec.get(timeout=1).content
    slow = Body(b"1", b"2", on_chunk=lambda: spec.clock.advance(1.1))
    spec.given(bootstrap(), httpx.Response(200, stream=slow))
    response = spec.get(timeout=1, stream=True)
    with pytest.raises(httpx.ReadTimeout) as caught:
        spec.read(response)
    assert type(caught.value) is httpx.ReadTimeout
    assert ["DC"] == told(caught.value).flags
    spec.assert_nothing_held()


@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_they_are_httpxs_own_in_both_modes(spec: Spec, local_replies: Any) -> None:
    """A sidecar's caller that loses its patience sees its own exception, no reply."""
    impatient(spec.given(bootstrap(), Hang(3), local_replies=local_replies), timeout=1)


def test_the_policys_come_first_where_they_are_shorter(spec: Spec) -> None:
    """Whichever bound passes first is the one that is told."""
    spec.given(bootstrap(route={"timeout": "1s"}), Hang(10))
    with pytest.raises(RouteTimeoutError):
        spec.get(timeout=2)
    impatient(spec, timeout=0.5)
