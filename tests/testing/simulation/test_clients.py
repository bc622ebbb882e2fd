"""Clients in the simulation: a module's own, those without a policy, mocked ones, plain httpx; and what is refused."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import httpx
import pytest

from ambassador_lib import AsyncClient, Client
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.testing.direct import AsyncSimulatedTransport, SimulatedTransport
from ambassador_lib.testing.misuse import MisuseError
from ambassador_lib.testing.simulated import SimulatedUpstream, Simulation
from ambassador_lib.testing.virtual_time import VirtualTime
from tests.spec.documents import bootstrap

from .scene import BASE, Scene

SLOW = bootstrap(route={"timeout": "40s", "retry_policy": {"retry_on": "5xx"}})
CLIENT = Client(SLOW)
ASYNC_CLIENT = AsyncClient(SLOW)


def test_a_module_level_client_is_in_the_simulation(virtual_time: VirtualTime) -> None:
    """Clients that were made at import need nothing to be done; each world finds them anew."""
    scene = Scene("blocking", virtual_time)
    scene.payment.is_slow(30)
    with Simulation(virtual_time):
        assert CLIENT.get(BASE).text == "payment"
        assert virtual_time.elapsed == 30
        assert asyncio.run(_get(ASYNC_CLIENT)) == "payment"
        assert asyncio.run(_get(ASYNC_CLIENT)) == "payment"  # on another loop
        assert virtual_time.elapsed == 90
    assert scene.payment.open_connections == 0
    with Simulation(virtual_time):
        assert CLIENT.get(BASE).text == "payment"


async def _get(client: AsyncClient) -> str:
    return (await client.get(BASE)).text


def test_worlds_leave_no_client_behind(virtual_time: VirtualTime) -> None:
    """A client that is neither kept nor closed is no concern of the world's."""
    Scene("blocking", virtual_time)
    with Simulation(virtual_time):
        Client(SLOW).get(BASE)
        gc.collect()
        Client(SLOW).get(BASE)
    gc.collect()


@pytest.mark.parametrize("kind", ["ambassador", "plain"])
def test_an_upstream_is_reached_by_its_own_url(scene: Scene, kind: str) -> None:
    """Without any policy, a client reaches a simulated upstream directly, and httpx's own timeouts hold."""
    payment = SimulatedUpstream("direct", world=scene.time)
    payment.replies(text="hello")
    url = payment.url

    async def scenario(scene: Scene) -> None:
        client = scene.client
        if kind == "plain":
            transport: Any = SimulatedTransport if scene.mode == "blocking" else AsyncSimulatedTransport
            client = (httpx.Client if scene.mode == "blocking" else httpx.AsyncClient)(transport=transport(scene.time))

        async def get(**options: Any) -> httpx.Response:
            made = client.request("POST", f"{url}/x?y=1", **options)
            return made if scene.mode == "blocking" else await made  # type: ignore[no-any-return]

        assert (await get(content=b"body")).text == "hello"
        seen = payment.requests[0]
        assert (seen.target, seen.body, seen.header("host")) == ("/x?y=1", b"body", payment.address.removesuffix(":80"))
        payment.is_slow(3)
        began = scene.time.elapsed
        with pytest.raises(httpx.ReadTimeout):
            await get(timeout=2)
        assert scene.time.elapsed - began == pytest.approx(2)
        payment.black_holes()
        with pytest.raises(httpx.ConnectTimeout):
            await get(timeout=2)
        payment.refuses()
        with pytest.raises(httpx.ConnectError):
            await get()
        payment.closes()
        with pytest.raises(httpx.RemoteProtocolError):
            await get()
        payment.drips(b"a", b"b", every=1.5)
        assert (await get(timeout=2)).text == "ab"
        payment.drips(b"a", b"b", every=2.5)
        with pytest.raises(httpx.ReadTimeout):
            await get(timeout=2)
        if kind == "plain":
            closing = client.close() if scene.mode == "blocking" else await client.aclose()
            assert closing is None

    scene.play(bootstrap() if kind == "plain" else None, scenario)
    assert payment.open_connections == 0


def test_retries_without_a_policy(scene: Scene) -> None:
    """The safe defaults of a client without a policy are at work in virtual time as well."""
    payment = SimulatedUpstream("direct", world=scene.time)
    payment.closes(times=2)

    async def scenario(scene: Scene) -> None:
        made = scene.client.get(payment.url)
        response = made if scene.mode == "blocking" else await made
        assert response.status_code == 200
        assert len(payment.requests) == 3
        assert 0 < scene.time.elapsed < 1

    scene.play(None, scenario)


def test_timeouts_without_a_policy_are_httpxs_own(scene: Scene) -> None:
    """A short `write` timeout has nothing to say about the time between two pieces of an answer."""
    payment = SimulatedUpstream("direct", world=scene.time)
    payment.drips(b"a", b"b", every=2.5)

    async def scenario(scene: Scene) -> None:
        made = scene.client.get(payment.url, timeout=httpx.Timeout(5, write=1))
        response = made if scene.mode == "blocking" else await made
        assert response.text == "ab"

    scene.play(None, scenario)


def test_nothing_real_is_called(scene: Scene) -> None:
    """A URL that nothing claims is a misuse, unless a mock answers; so is a cluster at an address of nobody's."""

    async def scenario(scene: Scene) -> None:
        with pytest.raises(MisuseError, match=r"GET http://elsewhere.test/: nothing in the policy claims this URL"):
            made = scene.client.get("http://elsewhere.test/")
            if scene.mode != "blocking":
                await made

    scene.play(SLOW, scenario)


def test_mocks_still_answer(scene: Scene) -> None:
    """A mock under the client sees the calls, and retries wait in virtual time; a dialling transport is simulated."""
    answers = [503, 200]
    mock = httpx.MockTransport(lambda _: httpx.Response(answers.pop(0)))

    async def scenario(scene: Scene) -> None:
        assert await scene.outcome() == 200
        assert 0 < scene.time.elapsed < 1

    scene.play(SLOW, scenario, transport=mock)
    assert scene.payment.requests == []
    dials = httpx.HTTPTransport() if scene.mode == "blocking" else httpx.AsyncHTTPTransport()

    async def simulated(scene: Scene) -> None:
        assert (await scene.get()).text == "payment"

    scene.play(SLOW, simulated, transport=dials)


def test_a_clock_of_the_applications_own_is_told(virtual_time: VirtualTime) -> None:
    """All must go by one clock; dice of its own the application may have."""
    Scene("blocking", virtual_time)
    with Simulation(virtual_time):
        with pytest.raises(MisuseError, match=r"a client has a clock of its own, clock=SystemClock\(\)"):
            Client(SLOW, clock=SystemClock())
        with Client(SLOW, clock=virtual_time, random=random.Random(1)) as client:
            assert client.get(BASE).text == "payment"


def test_nobody_answers_for_a_name(scene: Scene) -> None:
    """A name that no simulated upstream serves does not exist; one that an upstream's `dns` serves does."""
    address = {"socket_address": {"address": "pay.test", "port_value": 80}}
    named = {
        "type": "LOGICAL_DNS",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }

    async def scenario(scene: Scene) -> None:
        assert await scene.outcome() == "NoHealthyUpstreamError"
        scene.payment.dns.serves("pay.test")
        await scene.sleep(10)
        assert await scene.outcome() == 200

    scene.play(bootstrap(cluster=named), scenario)


def test_a_simulated_upstream_tells_where_it_is(virtual_time: VirtualTime) -> None:
    """Addresses are of TEST-NET-2; it grows, and tells its connections."""
    made = SimulatedUpstream("many")
    assert made.world is virtual_time
    assert made.addresses == [("198.51.100.1", 80)]
    made.provide(3)
    assert made.addresses == [("198.51.100.1", 80), ("198.51.100.2", 80), ("198.51.100.3", 80)]
    assert (made.host, made.port, made.address, made.url) == (
        "198.51.100.1", 80, "198.51.100.1:80", "http://198.51.100.1:80",
    )  # fmt: skip
    assert (made.connections, made.open_connections, made.is_simulated) == (0, 0, True)
    assert repr(made) == "<SimulatedUpstream many>"
    made.close()
    big = SimulatedUpstream("big", endpoints=300)
    assert len(set(big.addresses)) == 300
    assert big.addresses[-1][1] == 81
