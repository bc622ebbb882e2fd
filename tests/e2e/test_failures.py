"""Failing upstreams, seen through the public clients: what is raised, what it tells, and what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest

import ambassador_lib
from ambassador_lib import AsyncClient, Client
from ambassador_lib.testing import (
    Answer,
    ServerTls,
    Upstream,
    assert_calls,
    close,
    drip,
    garbage,
    reply,
    reset,
    simulation,
)
from ambassador_lib.testing.certificates import CertificateAuthority

BASE = "http://127.0.0.1:15001"

Document = dict[str, Any]
Ask = Callable[..., httpx.Response]
PolicyFor = Callable[..., Document]

RETRY: Document = {
    "cluster": "up",
    "retry_policy": {
        "retry_on": "5xx",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
    },
}

# name of the exception, the httpx exception it also is, flag, status of the sidecar's reply, script, policy's arguments
FAILURES: dict[str, tuple[str, type[Exception], str, int, Answer | None, Document]] = {
    "refused": ("UpstreamConnectError", httpx.ConnectError, "UF", 503, None, {}),
    "closed": ("UpstreamResetError", httpx.RemoteProtocolError, "UC", 503, close(), {}),
    "reset": ("UpstreamResetError", httpx.RemoteProtocolError, "UC", 503, reset(), {}),
    "closed in head": ("UpstreamResetError", httpx.RemoteProtocolError, "UPE", 502, close("in head"), {}),
    "garbage": ("UpstreamResetError", httpx.RemoteProtocolError, "UPE", 502, garbage(), {}),
    "no route": ("NoRouteError", httpx.UnsupportedProtocol, "NR", 404, 200, {"match": "/elsewhere"}),
    "overflow": (
        "UpstreamOverflowError",
        httpx.PoolTimeout,
        "UO",
        503,
        200,
        {"cluster": {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}},
    ),
    "no endpoint": (
        "NoHealthyUpstreamError",
        httpx.ConnectError,
        "UH",
        503,
        200,
        {"cluster": {"load_assignment": {"cluster_name": "up"}}},
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_the_contracts_exception(failure: str, ask: Ask, policy_for: PolicyFor) -> None:
    """It is also the httpx exception that existing code catches, and carries the reply and the story."""
    name, also, flag, status, script, arguments = FAILURES[failure]
    with Upstream(script or 200) as upstream:
        if script is None:
            upstream.is_down()
        with pytest.raises(also) as caught:
            ask(policy_for(upstream, **arguments))
    error = caught.value
    assert isinstance(error, ambassador_lib.AmbassadorError)
    assert type(error) is getattr(ambassador_lib, name)
    assert error.response is not None
    assert error.call is not None
    assert error.response.status_code == status
    assert flag in error.call.flags
    assert error.call.details
    assert str(error.call) in str(error)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_the_sidecars_reply(failure: str, ask: Ask, policy_for: PolicyFor) -> None:
    """With `local_replies="response"` the same failure is a response, with the same story."""
    _, _, flag, status, script, arguments = FAILURES[failure]
    with Upstream(script or 200) as upstream:
        if script is None:
            upstream.is_down()
        response = ask(policy_for(upstream, **arguments), client={"local_replies": "response"})
    assert response.status_code == status
    assert flag in response.extensions["ambassador"].flags
    assert response.headers["server"] == "envoy"


PER_TRY = {"retry_on": "gateway-error", "num_retries": 1, "per_try_timeout": "2s"}
BACK_OFF = {"retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"}}
# name of the exception, the route, after how many seconds, of how many tries
TIMEOUTS: dict[str, tuple[str, Document, float, int]] = {
    "route timeout": ("RouteTimeoutError", {"cluster": "up", "timeout": "7s"}, 7.0, 1),
    "Envoy's own": ("RouteTimeoutError", {"cluster": "up"}, 15.0, 1),
    "per-try timeout": ("PerTryTimeoutError", {"cluster": "up", "retry_policy": {**PER_TRY, **BACK_OFF}}, 4.0, 2),
}


@pytest.mark.parametrize("mode", ["raise", "response"])
@pytest.mark.parametrize("place", ["before headers", "mid-headers"])
@pytest.mark.parametrize("late", TIMEOUTS)
def test_a_timeout_strikes_at_its_time(late: str, place: str, mode: str, ask: Ask, policy_for: PolicyFor) -> None:
    """To the moment, wherever the upstream hangs; as the contract's exception, or as the sidecar's reply."""
    name, route, seconds, tries = TIMEOUTS[late]
    with simulation() as kit:
        up = kit.simulated_upstreams.up
        up.hangs(at=place)
        policy = kit.policy(policy_for(up, route=route), upstreams={"up": up})
        if mode == "raise":
            with pytest.raises(httpx.ReadTimeout) as caught:
                ask(policy, client={"timeout": None})
            error = caught.value
            assert isinstance(error, getattr(ambassador_lib, name))
            report, reply_of = error.call, error.response
        else:
            reply_of = ask(policy, client={"timeout": None, "local_replies": "response"})
            report = reply_of.extensions["ambassador"]
        assert kit.virtual_time.elapsed == pytest.approx(seconds, abs=0.003)
        assert_calls(up, tries=tries, statuses=[None] * tries)
    assert reply_of.status_code == 504
    assert "UT" in report.flags
    assert str(report)


@pytest.mark.parametrize("script", [503, close(), reset(), garbage()], ids=["503", "close", "reset", "garbage"])
def test_a_failing_endpoint_is_ridden_out(script: Answer, ask: Ask, policy_for: PolicyFor) -> None:
    """What one endpoint fails at the other answers, and both sides count the same tries."""
    with Upstream(script) as bad, Upstream(200) as good:
        response = ask(policy_for(bad, good, route=RETRY))
        assert response.status_code == 200
        attempts = response.extensions["ambassador"].attempts
        assert [attempt.endpoint for attempt in attempts][-1] == good.address
        assert len(attempts) == len(bad.requests) + len(good.requests)
        assert all(attempt.retried_because for attempt in attempts[:-1])


def test_the_last_failure_comes_through_when_all_tries_are_spent(ask: Ask, policy_for: PolicyFor) -> None:
    """An upstream's own 503 is a response in either mode, after all four tries, flagged URX."""
    with Upstream(reply(503, headers={"x-mine": "1"}, text="tired")) as upstream:
        response = ask(policy_for(upstream, route=RETRY))
        assert (response.status_code, response.text, response.headers["x-mine"]) == (503, "tired", "1")
        assert len(upstream.requests) == 4
    assert "URX" in response.extensions["ambassador"].flags


@pytest.mark.parametrize(
    ("headers", "tries"), [({}, 1), ({"idempotency-key": "k"}, 2)], ids=["without key", "with key"]
)
def test_a_post_is_repeated_with_a_key_only(
    headers: dict[str, str], tries: int, ask: Ask, policy_for: PolicyFor
) -> None:
    """`retry_safety="idempotent"`: the same body and key on both tries, or one try."""
    with Upstream(503, 200) as upstream:
        response = ask(policy_for(upstream, route=RETRY), method="POST", content=b"12", headers=headers)
        assert [(seen.body, seen.header("idempotency-key")) for seen in upstream.requests] == [
            (b"12", headers.get("idempotency-key"))
        ] * tries
    assert response.status_code == (200 if tries == 2 else 503)
    if tries == 1:
        assert response.extensions["ambassador"].attempts[0].not_retried_because


def test_a_post_is_repeated_where_nothing_was_sent(ask: Ask, policy_for: PolicyFor) -> None:
    """A refused connection cannot have charged anybody."""
    with Upstream() as dead, Upstream() as alive:
        dead.is_down()
        for _ in range(2):  # round robin: one of two calls meets the dead endpoint first
            response = ask(policy_for(dead, alive, route=RETRY), method="POST", content=b"12")
            assert response.status_code == 200
        assert len(alive.requests) == 2


@pytest.mark.parametrize("script", [close("in body"), reset("in body")], ids=["close", "reset"])
def test_a_broken_body_is_a_failure_of_reading(script: Answer, ask: Ask, policy_for: PolicyFor) -> None:
    """Once the head is out there is no retry: the body breaks, as the mode says."""
    with Upstream(script) as upstream:
        with pytest.raises(ambassador_lib.UpstreamResetError):
            ask(policy_for(upstream, route=RETRY))
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            ask(policy_for(upstream, route=RETRY), client={"local_replies": "response"})
        assert not isinstance(caught.value, ambassador_lib.AmbassadorError)
        assert len(upstream.requests) == 2


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """An authority for this module."""
    return CertificateAuthority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(authority: CertificateAuthority) -> Iterator[Upstream]:
    """An upstream named `billing.internal` that demands a client certificate."""
    server = authority.issue("billing-server", "billing.internal")
    with Upstream(tls=ServerTls(server.certificate, server.key, client_authority=authority.path)) as upstream:
        yield upstream


def tls(authority: CertificateAuthority, *, client: bool = True, name: str = "billing.internal") -> Document:
    """Return a cluster's transport socket."""
    context: Document = {
        "validation_context": {
            "trusted_ca": {"filename": str(authority.path)},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
        }
    }
    if client:
        issued = authority.issue("billing-app")
        context["tls_certificates"] = [
            {"certificate_chain": {"filename": str(issued.certificate)}, "private_key": {"filename": str(issued.key)}}
        ]
    return {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "billing.internal",
                "common_tls_context": context,
            },
        }
    }


def test_the_client_certificate_is_shown(
    authority: CertificateAuthority, secure: Upstream, ask: Ask, policy_for: PolicyFor
) -> None:
    """The upstream sees the policy's certificate and SNI."""
    assert ask(policy_for(secure, cluster=tls(authority))).status_code == 200
    assert [(seen.client, seen.server_name) for seen in secure.requests] == [("billing-app", "billing.internal")]


def test_a_wrong_name_is_refused_before_the_request(
    authority: CertificateAuthority, secure: Upstream, ask: Ask, policy_for: PolicyFor
) -> None:
    """A certificate without the demanded name gets no byte of the request."""
    with pytest.raises(ambassador_lib.UpstreamConnectError):
        ask(policy_for(secure, cluster=tls(authority, name="other.internal")))
    assert secure.requests == []


def test_a_stranger_is_refused_before_the_request(
    tmp_path_factory: pytest.TempPathFactory, secure: Upstream, ask: Ask, policy_for: PolicyFor
) -> None:
    """A certificate of another authority gets no byte of the request."""
    stranger = CertificateAuthority(tmp_path_factory.mktemp("stranger"), "somebody else")
    with pytest.raises(ambassador_lib.UpstreamConnectError):
        ask(policy_for(secure, cluster=tls(stranger)))
    assert secure.requests == []


def test_a_missing_client_certificate_is_a_failure(
    authority: CertificateAuthority, secure: Upstream, ask: Ask, policy_for: PolicyFor
) -> None:
    """An upstream that demands one does not serve without; with TLS 1.3 that shows after the handshake."""
    with pytest.raises((ambassador_lib.UpstreamConnectError, ambassador_lib.UpstreamResetError)):
        ask(policy_for(secure, cluster=tls(authority, client=False)))
    assert secure.requests == []


# --- what is given back -----------------------------------------------------------------------------------------------

ONE_AT_A_TIME = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}


def test_leaving_a_stream_early_gives_its_place_back(policy_for: PolicyFor) -> None:
    """A place is held while the body runs, and no longer than the application wants it."""
    with (
        Upstream(drip(b"a", b"b", pause=5), 200) as upstream,
        Client(policy_for(upstream, cluster=ONE_AT_A_TIME)) as app,
    ):
        with app.stream("GET", BASE) as response:
            assert next(response.iter_raw()) == b"a"
            with pytest.raises(ambassador_lib.UpstreamOverflowError):
                app.get(BASE)
        assert app.get(BASE).status_code == 200


def test_leaving_an_asynchronous_stream_early_gives_its_place_back(policy_for: PolicyFor) -> None:
    """As with the blocking client."""

    async def main(upstream: Upstream) -> None:
        async with AsyncClient(policy_for(upstream, cluster=ONE_AT_A_TIME)) as app:
            async with app.stream("GET", BASE) as response:
                assert await anext(response.aiter_raw()) == b"a"
                with pytest.raises(ambassador_lib.UpstreamOverflowError):
                    await app.get(BASE)
            assert (await app.get(BASE)).status_code == 200

    with Upstream(drip(b"a", b"b", pause=5), 200) as upstream:
        anyio.run(main, upstream)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_gives_its_place_back(backend: str, policy_for: PolicyFor) -> None:
    """Cancelled while the upstream hangs, a call leaves nothing behind, neither here nor there."""

    async def main(policy: Any) -> None:
        async with AsyncClient(policy) as app:
            with anyio.move_on_after(5) as scope:
                await app.get(BASE)
            assert scope.cancelled_caught
            assert (await app.get(BASE)).status_code == 200

    with simulation() as kit:
        up = kit.simulated_upstreams.up
        up.hangs(1).then.replies(200)
        policy = kit.policy(policy_for(up, cluster=ONE_AT_A_TIME), upstreams={"up": up})
        options = {"clock": kit.virtual_time.trio_clock()} if backend == "trio" else {}
        anyio.run(main, policy, backend=backend, backend_options=options)
        assert (kit.virtual_time.elapsed, up.connections) == (5, 2)


def test_many_threads_share_one_client(policy_for: PolicyFor) -> None:
    """While one of three endpoints is dead and another fails now and then, no call of eight threads is lost."""

    def flaky() -> Callable[[object], int]:
        turn = iter(range(10**6))
        return lambda _: 503 if next(turn) % 5 == 0 else 200

    thresholds = {"circuit_breakers": {"thresholds": [{"max_retries": 100}]}}
    predicate = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    elsewhere = {  # threads take turns in one rotation, so without it a retry may well meet the dead endpoint again
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": predicate}}
        ],
        "host_selection_retry_max_attempts": 100,
    }
    route = {"cluster": "up", "retry_policy": {**RETRY["retry_policy"], **elsewhere}}
    with Upstream() as good, Upstream(flaky()) as poor, Upstream() as dead:
        dead.is_down()
        with (
            Client(policy_for(good, poor, dead, route=route, cluster=thresholds)) as app,
            ThreadPoolExecutor(8) as pool,
        ):
            statuses = list(pool.map(lambda _: app.get(BASE).status_code, range(160)))
        arrived = len(good.requests) + len(poor.requests)
        assert statuses == [200] * 160
        assert arrived == 160 + poor.failures


def test_a_closed_client_leaves_no_thread_and_no_connection(policy_for: PolicyFor) -> None:
    """What a client started ends with it."""
    with Upstream() as upstream:
        before = set(threading.enumerate())
        with Client(policy_for(upstream)) as app:
            app.get(BASE)
            assert upstream.open_connections == 1
        assert set(threading.enumerate()) <= before


def test_an_endpoint_that_comes_back_is_used_again(policy_for: PolicyFor) -> None:
    """Killed between two calls and revived, it serves the third, over a new connection."""
    with Upstream() as upstream, Client(policy_for(upstream)) as app:
        assert app.get(BASE).status_code == 200
        upstream.is_down()
        with pytest.raises(ambassador_lib.UpstreamConnectError):
            app.get(BASE)
        upstream.recovers()
        assert app.get(BASE).status_code == 200
        assert upstream.connections == 2
