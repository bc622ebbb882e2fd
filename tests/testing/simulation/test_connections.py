"""What happens on simulated connections: HTTP/1.1 and HTTP/2 by the real engines, every way of breaking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib import UpstreamConnectError, UpstreamOverflowError, UpstreamResetError
from ambassador_lib.testing.faults import drip
from tests.spec import documents
from tests.spec.documents import bootstrap

from .scene import Scene, report, statuses

HTTP2 = documents.options(protocol="http2_protocol_options")
TLS = {
    "name": "tls",
    "typed_config": {
        "@type": f"{documents.TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "pay.example",
    },
}
PROTOCOLS: list[dict[str, Any]] = [{}, HTTP2]


def pieces(scene: Scene, *chunks: bytes, every: float, brought: list[bytes] | None = None) -> Any:
    """Return a body that comes a piece at a time, with virtual time before each."""
    brought = [] if brought is None else brought

    def blocking() -> Iterator[bytes]:
        for chunk in chunks:
            scene.time.sleep(every)
            brought.append(chunk)
            yield chunk

    async def on_loop() -> AsyncIterator[bytes]:
        for chunk in chunks:
            await scene.time.sleep_async(every)
            brought.append(chunk)
            yield chunk

    return blocking() if scene.mode == "blocking" else on_loop()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["http1", "http2"])
def test_many_calls_at_once(scene: Scene, protocol: dict[str, Any]) -> None:
    """Fifty slow calls take as long as one; HTTP/1.1 has a connection for each, HTTP/2 one for all."""
    scene.payment.is_slow(2.0)

    async def scenario(scene: Scene) -> None:
        responses = await scene.together(*[scene.get] * 50)
        assert [response.status_code for response in responses] == [200] * 50
        assert scene.time.elapsed == pytest.approx(2)
        assert {seen.arrived for seen in scene.payment.requests} == {1000.0}
        assert scene.payment.connections == (1 if protocol else 50)

    scene.play(bootstrap(cluster=protocol), scenario)
    assert scene.payment.open_connections == 0


def test_connections_are_limited(scene: Scene) -> None:
    """With `max_connections` the others wait their turn, and with `max_pending_requests` some are refused."""
    thresholds = {"max_connections": 5, "max_pending_requests": 20}
    cluster = {"circuit_breakers": {"thresholds": [thresholds]}}
    scene.payment.is_slow(2.0)

    async def scenario(scene: Scene) -> None:
        outcomes = await scene.together(*[scene.outcome] * 50)
        assert outcomes.count(200) == 20  # those that connect count as pending, as in Envoy
        assert outcomes.count(UpstreamOverflowError.__name__) == 30
        assert scene.time.elapsed == pytest.approx(8)
        assert scene.payment.connections == 5

    scene.play(bootstrap(cluster=cluster, route={"timeout": "60s"}), scenario)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["http1", "http2"])
def test_bodies_drip(scene: Scene, protocol: dict[str, Any]) -> None:
    """A streamed body comes piece by piece, at its times."""
    scene.payment.drips(b"a", b"b", b"c", every=1.5)

    async def scenario(scene: Scene) -> None:
        request = scene.client.build_request("GET", "http://127.0.0.1:15001/")
        told = []
        if scene.mode == "blocking":
            response = scene.client.send(request, stream=True)
            told += [(chunk, scene.time.elapsed) for chunk in response.iter_raw()]
            response.close()
        else:
            response = await scene.client.send(request, stream=True)
            told += [(chunk, scene.time.elapsed) async for chunk in response.aiter_raw()]
            await response.aclose()
        assert told == [(b"a", 0), (b"b", 1.5), (b"c", 3)]

    scene.play(bootstrap(cluster=protocol), scenario)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["http1", "http2"])
def test_large_bodies_go_both_ways(scene: Scene, protocol: dict[str, Any]) -> None:
    """A megabyte there and two back, through flow control."""
    sent, back = b"u" * 1_000_000, b"d" * 2_000_000
    scene.payment.replies(content=back)

    async def scenario(scene: Scene) -> None:
        response = await scene.request("POST", content=sent)
        assert response.content == back
        assert scene.payment.requests[0].body == sent
        response = await scene.request("POST", content=pieces(scene, b"x" * 70_000, b"y" * 70_000, every=1))
        assert response.content == back
        assert scene.payment.requests[1].body == b"x" * 70_000 + b"y" * 70_000
        assert scene.time.elapsed == pytest.approx(2)

    scene.play(bootstrap(cluster=protocol), scenario)


def test_a_kept_connection_goes_stale(scene: Scene) -> None:
    """What the upstream has closed while it was idle is not used again, and no call fails for it."""

    async def scenario(scene: Scene) -> None:
        scene.payment.is_down(for_=10)  # nothing is open yet
        await scene.sleep(11)
        assert await scene.outcome() == 200
        scene.payment.is_down(for_=10)
        await scene.sleep(11)
        assert [await scene.outcome(), await scene.outcome()] == [200, 200]
        assert scene.payment.connections == 2

    scene.play(bootstrap(), scenario)


def test_an_idle_connection_is_closed_in_time(scene: Scene) -> None:
    """`idle_timeout` of the cluster's connections goes by virtual time."""
    cluster = documents.options(idle_timeout="60s")

    async def scenario(scene: Scene) -> None:
        for pause in (0, 59, 61):
            await scene.sleep(pause)
            assert await scene.outcome() == 200
        assert scene.payment.connections == 2

    scene.play(bootstrap(cluster=cluster), scenario)


def test_every_way_of_not_connecting(scene: Scene) -> None:
    """Refused at once, silent until the connect timeout, reset, nobody there: each as the real network tells it."""

    async def scenario(scene: Scene) -> None:
        payment, time = scene.payment, scene.time
        payment.refuses(1)
        with pytest.raises(UpstreamConnectError, match="Connection refused"):
            await scene.get()
        assert time.elapsed == 0
        payment.black_holes(for_=60)
        with pytest.raises(UpstreamConnectError) as failed:
            await scene.get()
        assert time.elapsed == pytest.approx(5)
        assert "timeout" in failed.value.response.text or failed.value.call.flags == ("UF",)
        await scene.sleep(60)
        assert await scene.outcome() == 200

    scene.play(bootstrap(), scenario)
    scene.play(
        documents.policy(clusters=[documents.cluster(groups=[{"lb_endpoints": [documents.endpoint(99)]}])]),
        nobody_there,
    )


async def nobody_there(scene: Scene) -> None:
    with pytest.raises(UpstreamConnectError, match=r"10.0.0.99:80: no simulated upstream lives there"):
        await scene.get()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["http1", "http2"])
@pytest.mark.parametrize("way", ["closes", "resets"])
@pytest.mark.parametrize("place", ["before headers", "mid-headers", "mid-body"])
def test_every_way_of_breaking_off(scene: Scene, protocol: dict[str, Any], way: str, place: str) -> None:
    """Closed or reset, before, in and behind the head: a failure of the upstream's, and the next call is fine."""

    async def scenario(scene: Scene) -> None:
        scene.payment.replies(content=b"x" * 100)
        if way == "closes":
            scene.payment.closes(at=place, times=1)
        else:
            scene.payment.resets(at=place, times=1)
        with pytest.raises((UpstreamResetError, httpx.RemoteProtocolError)) as failed:
            await scene.get()
        assert "before headers" not in str(failed.value) or place != "mid-body"
        assert (await scene.get()).content == b"x" * 100
        assert scene.time.elapsed == 0

    scene.play(bootstrap(cluster=protocol), scenario)


def test_garbage_and_lies(scene: Scene) -> None:
    """Bytes that are no HTTP, and a length that is wrong, are told as such."""

    async def scenario(scene: Scene) -> None:
        scene.payment.sends_garbage(1)
        with pytest.raises(UpstreamResetError) as failed:
            await scene.get()
        assert failed.value.response.status_code == 502
        scene.payment.replies(content=b"x" * 10)
        scene.payment.lies_about_length(by=5, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await scene.get()
        assert (await scene.get()).content == b"x" * 10

    scene.play(bootstrap(), scenario)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["http1", "http2"])
def test_a_wrong_length_comes_after_the_head(scene: Scene, protocol: dict[str, Any]) -> None:
    """The head has arrived before the lie comes out: nothing is retried, as over a real wire."""

    async def scenario(scene: Scene) -> None:
        scene.payment.replies(content=b"x" * 10)
        scene.payment.lies_about_length(by=5, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await scene.get()
        assert len(scene.payment.requests) == 1

    scene.play(bootstrap(cluster=protocol, route={"retry_policy": {"retry_on": "5xx,reset"}}), scenario)


def test_tls_is_told_by_names_only(scene: Scene) -> None:
    """No handshake is made: the SNI is recorded, ALPN is what the cluster speaks, a failing handshake fails."""

    async def scenario(scene: Scene) -> None:
        assert (await scene.get()).status_code == 200
        seen = scene.payment.requests[0]
        assert (seen.server_name, seen.protocol) == ("pay.example", "HTTP/2")
        scene.payment.fails_handshake(1)
        with pytest.raises(UpstreamConnectError, match="TLS_error"):
            await scene.get()
        assert await scene.outcome() == 200

    scene.play(bootstrap(cluster={"transport_socket": TLS, **HTTP2}), scenario)


def test_an_answer_before_the_upload_is_over(scene: Scene) -> None:
    """A refusal is taken at once where the upstream gives it; here it gives it after the whole body."""

    async def scenario(scene: Scene) -> None:
        scene.payment.replies(413)
        brought: list[bytes] = []
        body = pieces(scene, b"a", b"b", b"c", every=10, brought=brought)
        assert (await scene.request("POST", content=body)).status_code == 413
        assert len(brought) == 3
        assert scene.time.elapsed == pytest.approx(30)

    scene.play(bootstrap(route={"timeout": "60s"}), scenario)


def test_a_retry_goes_to_another_endpoint(scene: Scene) -> None:
    """Endpoints are told apart: by their own scripts, in reports, in what was seen."""
    policy = {
        "retry_on": "5xx",
        "retry_host_predicate": [
            {
                "name": "previous",
                "typed_config": {
                    "@type": f"{documents.TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }

    async def scenario(scene: Scene) -> None:
        scene.payment.endpoint(0).fails(for_=60)
        for _ in range(4):
            response = await scene.get()
            assert response.status_code == 200
            for attempt in report(response).attempts:
                assert attempt.status == (503 if attempt.endpoint == "10.0.0.1:80" else 200)
        assert {seen.endpoint for seen in scene.payment.requests} == {0, 1}

    scene.play(bootstrap(endpoints=2, route={"retry_policy": policy}), scenario)


def test_addresses_race(scene: Scene) -> None:
    """Of an endpoint's several addresses the next is tried when one is silent, or refuses."""
    other = scene.upstream("other", first=101, endpoints=1)
    endpoint = documents.endpoint(1)
    endpoint["endpoint"]["additional_addresses"] = [
        {"address": {"socket_address": {"address": "10.0.0.101", "port_value": 80}}}
    ]

    async def scenario(scene: Scene) -> None:
        scene.payment.black_holes(for_=5)
        assert (await scene.get()).text == "other"
        assert scene.time.elapsed == pytest.approx(0.3)
        await scene.sleep(4000)
        scene.payment.refuses(1)
        assert (await scene.get()).text == "other"
        await scene.sleep(4000)
        assert (await scene.get()).text == "payment"
        scene.payment.is_down()
        other.is_down()
        assert await scene.outcome() == "UpstreamConnectError"

    scene.play(documents.policy(clusters=[documents.cluster(groups=[{"lb_endpoints": [endpoint]}])]), scenario)


def test_dripping_as_a_value(scene: Scene) -> None:
    """Reactions that functions make are served as those of sentences."""
    scene.payment.replies(lambda seen: drip(b"slow", seen.path.encode(), pause=2))

    async def scenario(scene: Scene) -> None:
        assert (await scene.get("/x")).text == "slow/x"
        assert scene.time.elapsed == pytest.approx(2)
        assert statuses(report(await scene.get())) == [200]

    scene.play(bootstrap(), scenario)
