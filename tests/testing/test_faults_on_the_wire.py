"""Each fault of a real upstream, as httpx and as the library's own clients meet it, over both protocols."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest

import ambassador_lib
from ambassador_lib import AsyncClient, Client
from ambassador_lib.testing import Upstream, simulation

Say = Callable[[Upstream], object]
Document = dict[str, Any]

PATIENT = httpx.Timeout(10.0)
IMPATIENT = httpx.Timeout(10.0, read=0.15)

# what is said; what httpx raises over HTTP/1.1; over HTTP/2; what ours raises, and its flag; over HTTP/2
FAULTS: dict[str, tuple[Say, type[Exception], type[Exception], tuple[str, str], tuple[str, str]]] = {
    "is_down": (
        lambda up: up.is_down(),
        httpx.ConnectError,
        httpx.ConnectError,
        ("UpstreamConnectError", "UF"),
        ("UpstreamConnectError", "UF"),
    ),
    "refuses": (
        lambda up: up.refuses(),
        httpx.ConnectError,
        httpx.ConnectError,
        ("UpstreamConnectError", "UF"),
        ("UpstreamConnectError", "UF"),
    ),
    "black_holes, counted": (
        lambda up: up.black_holes(1),
        httpx.ReadTimeout,
        httpx.ReadTimeout,
        ("ReadTimeout", "DC"),
        ("ReadTimeout", "DC"),
    ),
    "hangs": (
        lambda up: up.hangs(),
        httpx.ReadTimeout,
        httpx.ReadTimeout,
        ("ReadTimeout", "DC"),
        ("ReadTimeout", "DC"),
    ),
    "hangs mid-headers": (
        lambda up: up.hangs(at="mid-headers"),
        httpx.ReadTimeout,
        httpx.ReadTimeout,
        ("ReadTimeout", "DC"),
        ("ReadTimeout", "DC"),
    ),
    "hangs mid-body": (
        lambda up: up.hangs(at="mid-body"),
        httpx.ReadTimeout,
        httpx.ReadTimeout,
        ("ReadTimeout", "DC"),
        ("ReadTimeout", "DC"),
    ),
    "closes": (
        lambda up: up.closes(),
        httpx.RemoteProtocolError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UC"),
        ("UpstreamResetError", "UC"),
    ),
    "closes mid-headers": (
        lambda up: up.closes(at="mid-headers"),
        httpx.RemoteProtocolError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UC"),
    ),
    "closes mid-body": (
        lambda up: up.closes(at="mid-body"),
        httpx.RemoteProtocolError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UC"),
    ),
    "resets": (
        lambda up: up.resets(),
        httpx.ReadError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UC"),
        ("UpstreamResetError", "UR"),
    ),
    "resets mid-body": (
        lambda up: up.resets(at="mid-body"),
        httpx.ReadError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UR"),
    ),
    "truncates": (
        lambda up: up.truncates(),
        httpx.RemoteProtocolError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UC"),
    ),
    "sends_garbage": (
        lambda up: up.sends_garbage(),
        httpx.RemoteProtocolError,
        httpx.RemoteProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UPE"),
    ),
    "lies_about_length": (
        lambda up: up.lies_about_length(by=5),
        httpx.RemoteProtocolError,
        httpx.LocalProtocolError,
        ("UpstreamResetError", "UPE"),
        ("UpstreamResetError", "UPE"),
    ),
}


def document(upstream: Upstream, *, http2: bool) -> Document:
    """Return a policy with one cluster `up`, which the upstream is."""
    return placed(*upstream.addresses[0], http2=http2)


def placed(host: str, port: int, *, http2: bool) -> Document:
    """Return a policy with one cluster `up` of one endpoint."""
    address = {"socket_address": {"address": host, "port_value": port}}
    cluster: Document = {
        "name": "up",
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if http2:
        kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": kind,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return {"static_resources": {"clusters": [cluster]}}


def ask_plain(upstream: Upstream, kind: str, *, http2: bool, timeout: httpx.Timeout = PATIENT) -> httpx.Response:
    """Ask with httpx's own client."""
    if kind == "blocking":
        with httpx.Client(trust_env=False, verify=False, timeout=timeout, http1=not http2, http2=http2) as client:
            return client.get(upstream.url)

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(
            trust_env=False, verify=False, timeout=timeout, http1=not http2, http2=http2
        ) as client:
            return await client.get(upstream.url)

    return anyio.run(main)


def ask_ours(upstream: Upstream, kind: str, *, http2: bool, timeout: httpx.Timeout = PATIENT) -> httpx.Response:
    """Ask with the library's client."""
    return ask_by(document(upstream, http2=http2), kind, timeout)


def ask_by(policy: Any, kind: str, timeout: httpx.Timeout) -> httpx.Response:
    """Ask with the library's client."""
    if kind == "blocking":
        with Client(policy, timeout=timeout) as client:
            return client.get("http://up/")

    async def main() -> httpx.Response:
        async with AsyncClient(policy, timeout=timeout) as client:
            return await client.get("http://up/")

    return anyio.run(main)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_httpx_meets_it_as_what_it_is(fault: str, http2: bool, kind: str) -> None:
    """What httpx raises is what it raises at a real server that does this."""
    say, over_http1, over_http2, _, _ = FAULTS[fault]
    expected = over_http2 if http2 else over_http1
    timeout = IMPATIENT if expected is httpx.ReadTimeout else PATIENT
    with Upstream() as upstream:
        say(upstream)
        with pytest.raises(expected):
            ask_plain(upstream, kind, http2=http2, timeout=timeout)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_our_clients_meet_it_as_the_contract_says(fault: str, http2: bool, kind: str) -> None:
    """The exception is the contract's, and the call's report carries Envoy's flag for it."""
    say, _, _, over_http1, over_http2 = FAULTS[fault]
    name, flag = over_http2 if http2 else over_http1
    with Upstream() as upstream:
        say(upstream)
        with pytest.raises(httpx.TransportError) as caught:
            ask_ours(upstream, kind, http2=http2, timeout=IMPATIENT if name == "ReadTimeout" else PATIENT)
    assert type(caught.value).__name__ == name
    assert caught.value.call.flags == [flag]  # type: ignore[attr-defined]
    if name != "ReadTimeout":
        assert isinstance(caught.value, ambassador_lib.AmbassadorError)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_counted_refusal_is_a_reset_at_once(kind: str) -> None:
    """The system refuses without telling the server, so what is counted is accepted first; then all is well."""
    with Upstream() as upstream:
        upstream.refuses(1).then.replies(201)
        with pytest.raises((ambassador_lib.UpstreamConnectError, ambassador_lib.UpstreamResetError)):
            ask_ours(upstream, kind, http2=False)
        assert ask_ours(upstream, kind, http2=False).status_code == 201


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always hear who wants to connect")
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_black_hole_is_not_even_connected_to(kind: str) -> None:
    """On Linux nothing answers, not even to refuse; recovered, it is reached again."""

    def impatient() -> None:
        if kind == "blocking":
            with httpx.Client(trust_env=False, timeout=httpx.Timeout(5.0, connect=0.1)) as client:
                client.get(upstream.url)
        else:
            anyio.run(main)

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(5.0, connect=0.1)) as client:
            await client.get(upstream.url)

    with Upstream() as upstream:
        upstream.black_holes()
        with pytest.raises(httpx.ConnectTimeout):
            impatient()
        policy = document(upstream, http2=False)
        policy["static_resources"]["clusters"][0]["connect_timeout"] = "0.1s"
        with Client(policy) as client, pytest.raises(ambassador_lib.UpstreamConnectError) as caught:
            client.get("http://up/")
        assert caught.value.call is not None
        assert caught.value.call.flags == ["UF"]
        upstream.recovers()
        impatient()
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_answers_of_every_kind_arrive(http2: bool, kind: str) -> None:
    """Statuses, bodies, headers, pieces and hints to wait reach our client as they were said."""
    with Upstream() as upstream:
        upstream.replies(201, times=1).then.replies(json={"a": 1}, headers={"x-b": "c"}, times=1).then.drips(
            b"abc", every=0.001, times=1
        ).then.asks_to_wait(3)
        answers = [ask_ours(upstream, kind, http2=http2) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 429]
    assert (answers[1].json(), answers[1].headers["x-b"]) == ({"a": 1}, "c")
    assert (answers[2].content, answers[3].headers["retry-after"]) == (b"abc", "3")
    assert [seen.protocol for seen in upstream.requests] == ["HTTP/2" if http2 else "HTTP/1.1"] * 4
    assert [seen.because for seen in upstream.requests[:1]] == ["replies(201, times=1)"]


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_too_many_bytes_are_too_many(http2: bool) -> None:
    """Told a length that is too short, a client has its body, and does not take the rest for anything else."""
    with Upstream() as upstream:
        upstream.replies(text="0123456789")
        upstream.lies_about_length(by=-4, times=1)
        if http2:
            with pytest.raises(httpx.TransportError):
                ask_ours(upstream, "blocking", http2=True)
        else:
            assert ask_ours(upstream, "blocking", http2=False).text == "012345"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_simulated_upstream_is_met_in_the_same_way(fault: str, http2: bool, kind: str) -> None:
    """One vocabulary: without sockets the same sentence gives the same exception and the same flag."""
    say, _, _, over_http1, over_http2 = FAULTS[fault]
    name, flag = over_http2 if http2 else over_http1
    with simulation() as kit:
        upstream = kit.simulated_upstreams("payment")
        upstream.replies(text="payment")
        say(upstream)
        policy = kit.policy(placed("127.0.0.1", 1, http2=http2), upstreams={"up": upstream})
        with pytest.raises(httpx.TransportError) as caught:
            ask_by(policy, kind, IMPATIENT)
    assert (type(caught.value).__name__, caught.value.call.flags) == (name, [flag])  # type: ignore[attr-defined]
