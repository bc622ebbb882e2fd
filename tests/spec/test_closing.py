"""How things end: closing, constructors that fail, and `fork()` (contract, how things end)."""

from __future__ import annotations

import os
import threading
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, PolicyError

from .documents import bootstrap, breaker, cluster, policy
from .harness import BASE, Body, Script, Spec


class Closable(Script):
    """An upstream that counts how often it was closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def transport_class(spec: Spec) -> Any:
    return AmbassadorTransport if spec.is_blocking else AsyncAmbassadorTransport


@pytest.mark.parametrize("document", [bootstrap(), None])
def test_a_closed_transport_refuses(spec: Spec, document: Any) -> None:
    """Calls after `close` are a RuntimeError and send nothing."""
    spec.given(document)
    spec.close_transport()
    with pytest.raises(RuntimeError, match="closed"):
        spec.get()
    assert [] == spec.upstream.seen


def test_a_closed_transport_refuses_what_it_does_not_claim_too(spec: Spec) -> None:
    """Passthrough is no way around it."""
    spec.given(bootstrap())
    spec.close_transport()
    with pytest.raises(RuntimeError, match="closed"):
        spec.get("http://example.org/")
    assert [] == spec.upstream.seen


@pytest.mark.parametrize("document", [bootstrap(), None])
def test_what_was_passed_in_is_closed_once(spec: Spec, document: Any) -> None:
    """`inner` is closed with the transport, as httpx closes what it is given; closing twice does no more."""
    spec.given(document, upstream=Closable(spec.clock, 200))
    spec.get()
    spec.close_transport()
    spec.close_transport()
    assert 1 == spec.upstream.closed


@pytest.mark.parametrize("document", [bootstrap(), None])
def test_a_client_closes_its_transport_once(spec: Spec, document: Any) -> None:
    """The same for `transport=` of a client, and for a transport inside a plain httpx client."""
    spec.given_client(document, upstream=Closable(spec.clock, 200))
    for _ in range(2):
        spec.wait(spec.client.close() if spec.is_blocking else spec.client.aclose())
    assert 1 == spec.upstream.closed
    with pytest.raises(RuntimeError, match="closed"):
        spec.get(BASE)
    spec.given(document, upstream=Closable(spec.clock, 200))
    spec.wait(spec.client.close() if spec.is_blocking else spec.client.aclose())
    assert 1 == spec.upstream.closed


def test_a_stream_that_outlives_its_transport_gives_back(spec: Spec) -> None:
    """Closing first and reading afterwards leaves nothing held."""
    spec.given(bootstrap(), httpx.Response(200, stream=Body(b"1", b"2")))
    response = spec.get(stream=True)
    spec.close_transport()
    assert b"12" == spec.read(response)
    spec.assert_nothing_held()


def test_ready_without_anything_to_wait_for(spec: Spec) -> None:
    """STATIC clusters, or no policy: there is nothing to wait for."""
    for document in (bootstrap(), None):
        spec.given(document)
        spec.wait(spec.transport.ready(timeout=0))


@pytest.mark.parametrize(
    "wrong",
    [
        bootstrap(cluster={"connect_timeout": "500ms"}),
        bootstrap(route={"cluster": "nobody"}),
        bootstrap(cluster={"metadata": breaker(failure_rate=2)}),
        {"static_resources": {"clusterz": []}},
    ],
)
def test_a_policy_that_cannot_be_used_leaks_nothing(spec: Spec, wrong: Any) -> None:
    """A PolicyError comes out of the constructor; no thread was started and nothing that was passed in is closed."""
    inner, before = Closable(spec.clock), threading.active_count()
    with pytest.raises(PolicyError):
        transport_class(spec)(wrong, inner=inner)
    assert (0, before) == (inner.closed, threading.active_count())


def test_a_constructor_that_fails_late_stops_what_it_began(spec: Spec) -> None:
    """A storage factory that raises ends the watches that were started for the clusters before it."""
    address = {"socket_address": {"address": "billing.invalid", "port_value": 80}}
    groups = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    named = cluster("named", groups=groups, type="STRICT_DNS")
    before = threading.active_count()

    def storage(name: str) -> Any:
        raise ZeroDivisionError(name)

    with pytest.raises(ZeroDivisionError):
        transport_class(spec)(policy(clusters=[named, cluster(metadata=breaker())]), breaker_storage=storage)
    for thread in threading.enumerate():
        if "ambassador" in thread.name:
            thread.join(5)
    assert before >= threading.active_count()


@pytest.mark.parametrize("name", ["local_replies", "retry_safety", "unmatched"])
def test_an_unknown_word_is_refused(spec: Spec, name: str) -> None:
    """A typing mistake in an option is a ValueError that lists the words there are."""
    with pytest.raises(ValueError, match=f"{name}='sometimes'.*must be one of"):
        transport_class(spec)(bootstrap(), **{name: "sometimes"})


def test_static_policies_start_no_thread(spec: Spec) -> None:
    """A policy with nothing to watch costs no thread, before and after calls."""
    before = threading.active_count()
    spec.given(bootstrap(cluster={"metadata": breaker(), "outlier_detection": {}}))
    spec.get()
    assert before == threading.active_count()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_child_process_goes_on_calling() -> None:
    """After `fork()` both sides use the transport that was opened before, blocking."""
    spec = Spec("blocking")
    spec.given(bootstrap(cluster={"metadata": breaker(), "outlier_detection": {}}))
    assert 200 == spec.get().status_code
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(spec.get().status_code != 200)
            spec.assert_nothing_held()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_workers_draw_otherwise_than_their_parent() -> None:
    """Children forked from one process, and it itself, send different request ids."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=request.headers["x-request-id"])

    with httpx.Client(transport=AmbassadorTransport(policy(), inner=httpx.MockTransport(answer))) as client:
        client.get(BASE)
        reading, writing = os.pipe()
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    os.write(writing, client.get(BASE).text.encode() + b"\n")
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
        os.close(writing)
        with open(reading) as told:
            drawn = [*told.read().split(), client.get(BASE).text]
    assert len(drawn) == 3
    assert len(set(drawn)) == 3
