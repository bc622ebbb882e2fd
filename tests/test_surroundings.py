"""What stands in for the world around clients: twins serve calls while it is installed, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import anyio
import httpx
import pytest

import ambassador_lib.surroundings as world
from ambassador_lib import AmbassadorTransport, AsyncClient, Client, Policy, PolicyError
from ambassador_lib.call import Call
from ambassador_lib.policy.model import Cluster
from ambassador_lib.runtime.base import Clock
from ambassador_lib.surroundings import Surroundings, install, uninstall
from ambassador_lib.testing import FakeClock, Upstream

URL = "http://127.0.0.1:15001/"
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def document(port: int, **cluster: Any) -> dict[str, Any]:
    """A listener with one route to one cluster at a port of the loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    made = {
        "name": "c",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        **cluster,
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}}]
    manager = {
        "@type": f"type.googleapis.com/{HCM}",
        "stat_prefix": "s",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
        "filter_chains": [{"filters": [{"name": "m", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [made]}}


class Elsewhere(Surroundings):
    """Sends the cluster to another port; notes calls; counts what it is asked."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__()
        self.port = port
        self.calls: list[Call] = []
        self.passed: list[str] = []

    def cluster(self, cluster: Cluster) -> Cluster | None:
        if self.port is None:
            return None
        other = Policy.parse(document(self.port)).clusters[0]
        return replace(cluster, load_assignment=other.load_assignment)

    def refuse(self, cluster: str) -> NoReturn:
        raise AssertionError(f"{cluster} is nobody's")

    def noted(self, call: Call) -> None:
        self.calls.append(call)

    def passthrough(self, request: httpx.Request, transport: Any) -> Any:
        self.passed.append(str(request.url))
        return transport


Installs = Callable[[Surroundings], None]


@pytest.fixture
def installs() -> Iterator[Installs]:
    """Installs surroundings, and takes them away."""
    made: list[Surroundings] = []

    def put(surroundings: Surroundings) -> None:
        install(surroundings)
        made.append(surroundings)

    yield put
    for each in made:
        uninstall(each)
    assert world.installed is None


def test_a_client_made_before_is_served_by_a_twin_and_by_itself_again_afterwards(installs: Installs) -> None:
    """Installed surroundings send calls of existing clients elsewhere; uninstalled they leave no trace."""
    with Upstream(name="own") as own, Upstream(name="other") as other, Client(document(own.port)) as client:
        assert client.get(URL).text == "own"
        elsewhere = Elsewhere(other.port)
        install(elsewhere)
        try:
            assert client.get(URL).text == "other"
            assert client.get(URL).text == "other"
        finally:
            uninstall(elsewhere)
        assert client.get(URL).text == "own"
        assert [len(own.requests), len(other.requests), other.connections] == [2, 2, 1]
        assert [call.report.status for call in elsewhere.calls] == [200, 200]


def test_a_client_made_within_begins_by_itself_only_afterwards(installs: Installs) -> None:
    """A client made while surroundings are installed starts no discovery of its own until they are gone."""
    with Upstream(name="own") as own, Upstream(name="other") as other:
        elsewhere = Elsewhere(other.port)
        install(elsewhere)
        with Client(document(own.port)) as client:
            transport = client._ambassador()
            assert client.get(URL).text == "other"
            assert transport._at_work is None
            assert client.current_policy is not None
            assert client.current_policy.clusters[0].load_assignment != client.policy.clusters[0].load_assignment  # type: ignore[union-attr]
            uninstall(elsewhere)
            assert client.get(URL).text == "own"
            assert client.current_policy.clusters == client.policy.clusters  # type: ignore[union-attr]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_clients_have_twins_too(installs: Installs, backend: str) -> None:
    """The async transport does as the blocking one, under both loops, and its twin may end after its loop has."""
    with Upstream(name="own") as own, Upstream(name="other") as other:
        client = AsyncClient(document(own.port))
        elsewhere = Elsewhere(other.port)

        async def main() -> None:
            assert (await client.get(URL)).text == "own"
            installs(elsewhere)
            await client.ready()
            assert (await client.get(URL)).text == "other"
            await client.aclose()

        anyio.run(main, backend=backend)
        assert other.open_connections == 0 or other.connections == 1
    assert len(elsewhere.calls) == 1


def test_the_end_closes_twins_of_clients_that_nobody_closes() -> None:
    """A module's own client keeps no connection of the twin when the surroundings end."""
    with Upstream(name="own") as own, Upstream(name="other") as other:
        client = Client(document(own.port))
        elsewhere = Elsewhere(other.port)
        install(elsewhere)
        client.get(URL)
        uninstall(elsewhere)
        assert client._ambassador()._kept_twin is None
        assert client.get(URL).text == "own"
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.get(URL)


def test_threads_that_come_at_once_share_one_twin(installs: Installs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first calls of many threads on a client made before: one breaker, one round robin, one to be closed."""
    made: list[AmbassadorTransport] = []
    put_to_work = AmbassadorTransport._put_to_work

    def counted(self: AmbassadorTransport, inner: Any) -> Any:
        made.append(self)
        time.sleep(0.01)  # wide enough for the others to come in between
        return put_to_work(self, inner)

    with Upstream(name="own") as own, Upstream(name="other") as other, Client(document(own.port)) as client:
        monkeypatch.setattr(AmbassadorTransport, "_put_to_work", counted)
        elsewhere = Elsewhere(other.port)
        installs(elsewhere)
        barrier = threading.Barrier(10)

        def call() -> str:
            barrier.wait(10)
            return client.get(URL).text

        with ThreadPoolExecutor(10) as pool:
            assert [each.result() for each in [pool.submit(call) for _ in range(10)]] == ["other"] * 10
        assert len(made) == 1
        uninstall(elsewhere)
        assert made[0]._closed
        assert client.get(URL).text == "own"


def test_a_twin_that_cannot_be_closed_keeps_no_other_from_it() -> None:
    """All are closed; what went wrong is raised then."""
    with Upstream() as own, Client(document(own.port)) as one, Client(document(own.port)) as other:
        elsewhere = Elsewhere(own.port)
        install(elsewhere)
        left: list[str] = []

        class Fails:
            def leave(self) -> None:
                left.append("fails")
                raise ValueError("cannot")

        failing = [Fails(), Fails()]
        elsewhere.welcome(failing[0])
        twins = [client._ambassador()._twin(elsewhere) for client in (one, other)]
        with pytest.raises(ValueError, match="cannot"):
            uninstall(elsewhere)
        assert [twin._closed for twin in twins] == [True, True]
        for each in failing:
            elsewhere.welcome(each)
        with pytest.raises(ExceptionGroup, match="several clients"):
            elsewhere.end()
        assert left == ["fails"] * 3


def test_a_thread_that_comes_too_late_reaches_nobody(installs: Installs) -> None:
    """Whoever has seen surroundings that end meanwhile gets an error: no twin is made that nobody closes."""
    elsewhere = Elsewhere(1)
    with Client(document(1)) as client:
        installs(elsewhere)
        uninstall(elsewhere)
        with pytest.raises(RuntimeError, match="uninstalled meanwhile"):
            client._ambassador()._twin(elsewhere)
        assert client._ambassador()._kept_twin is None


def test_the_end_closes_connections_of_loops_that_are_closed(installs: Installs) -> None:
    """A module's own asynchronous client leaves no socket to the garbage collector, which would warn of it."""
    with Upstream(name="own") as own:
        client = AsyncClient(document(own.port))
        elsewhere = Elsewhere(own.port)
        installs(elsewhere)

        async def main() -> str:
            return (await client.get(URL)).text

        assert [asyncio.run(main()) for _ in range(2)] == ["own", "own"]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            uninstall(elsewhere)
            gc.collect()
        assert [str(each.message) for each in caught] == []


def test_closing_a_client_closes_its_twin(installs: Installs) -> None:
    """`close` ends the twin, and neither serves any more."""
    with Upstream() as own:
        elsewhere = Elsewhere(own.port)
        installs(elsewhere)
        transport = AmbassadorTransport(document(own.port))
        twin = transport._twin(elsewhere)
        transport.close()
        assert twin._closed
        with pytest.raises(RuntimeError, match="closed"):
            transport.handle_request(httpx.Request("GET", URL))


def test_a_dropped_client_takes_its_twin_along(installs: Installs) -> None:
    """The surroundings keep no client alive."""
    elsewhere = Elsewhere(1)
    installs(elsewhere)
    transport = AmbassadorTransport(document(1))
    twin = weakref.ref(transport._twin(elsewhere))
    del transport
    gc.collect()
    assert twin() is None


def test_time_and_chance_are_those_of_the_surroundings(installs: Installs) -> None:
    """Retries back off on the surroundings' clock; an application's own random wins, and its clock is asked about."""
    elsewhere = Elsewhere(1)
    elsewhere.clock, elsewhere.random = clock, _ = FakeClock(), random.Random(1)
    asked: list[Clock] = []

    def own_clock(given: Clock) -> Clock:
        asked.append(given)
        return clock

    elsewhere.own_clock = own_clock  # type: ignore[method-assign]
    installs(elsewhere)
    mock = httpx.MockTransport(lambda _: httpx.Response(503))
    with Client(document(1), transport=mock) as client:
        assert client.get(URL).status_code == 503
    assert len(clock.sleeps) == 1
    assert not asked
    own, chance = FakeClock(), random.Random(2)
    with Client(document(1), transport=mock, clock=own, random=chance) as client:
        client.get(URL)
        options = client._ambassador()._acting._options
        assert options.clock is clock
        assert options.random is chance
    assert asked == [own]
    assert own.sleeps == []


def test_an_inner_transport_of_the_application_goes_on_seeing_calls(installs: Installs) -> None:
    """A mock under the client is used by the twin, with clusters as they are, and is closed once, by the client."""
    closed: list[int] = []

    class Mock(httpx.MockTransport):
        def close(self) -> None:
            closed.append(1)

    elsewhere = Elsewhere(7)
    installs(elsewhere)
    transport = AmbassadorTransport(document(1), inner=Mock(lambda r: httpx.Response(200, text=_endpoint(r))))
    response = transport.handle_request(httpx.Request("GET", URL))
    assert response.read() == b"127.0.0.1:1"
    uninstall(elsewhere)
    assert transport.handle_request(httpx.Request("GET", URL)).read() == b"127.0.0.1:1"
    transport.close()
    assert closed == [1]


def _endpoint(request: httpx.Request) -> str:
    return str(request.extensions["ambassador_endpoint"])


def test_a_cluster_that_nobody_stands_in_for_refuses_calls(installs: Installs) -> None:
    """Where `cluster` returns `None` nothing is started, and a call raises what `refuse` raises."""
    installs(Elsewhere(None))
    names = {"type": "STRICT_DNS", "health_checks": []}
    threads = threading.active_count()
    with Client(document(1, **names)) as client:
        client.ready(timeout=0.1)
        with pytest.raises(AssertionError, match="c is nobody's"):
            client.get(URL)
        assert threading.active_count() == threads


def test_urls_that_nothing_claims_are_asked_about(installs: Installs) -> None:
    """`passthrough` sees each of them, and may exchange the transport."""
    elsewhere = Elsewhere(1)
    installs(elsewhere)
    elsewhere.passthrough = lambda *_: httpx.MockTransport(lambda _: httpx.Response(418))  # type: ignore[method-assign]
    with Client(document(1)) as client, Client() as plain:
        assert client.get("http://unclaimed.test/").status_code == 418
        assert plain.get("http://unclaimed.test/").status_code == 418


def test_files_that_are_missing_are_asked_for(installs: Installs) -> None:
    """`read` stands in for files that a policy names; under `lenient`, certificates need not be there at all."""
    secret = {"filename": "/nowhere/cert.pem"}
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{"certificate_chain": secret, "private_key": secret}]},
        },
    }
    written = document(1, transport_socket=tls)
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.parse(written)
    elsewhere = Elsewhere(1)
    elsewhere.lenient = True
    install(elsewhere)
    Policy.parse(written)
    uninstall(elsewhere)
    elsewhere.read = lambda path: path.encode()  # type: ignore[method-assign]
    elsewhere.lenient = False
    install(elsewhere)
    with pytest.raises(PolicyError, match="certificate and key cannot be used"):
        Policy.parse(written)
    uninstall(elsewhere)
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.parse(written)


def test_a_policy_that_cannot_be_used_is_told_at_once(installs: Installs, tmp_path: Path) -> None:
    """What is wrong with a policy is raised by the constructor, in surroundings as well."""
    installs(Elsewhere(1))
    written = document(1)
    file = tmp_path / "cds.yaml"
    file.write_text("{}")
    written["dynamic_resources"] = {"cds_config": {"path_config_source": {"path": str(file)}}}
    written["node"] = {"id": "i", "cluster": "c"}
    policy = Policy.parse(written)
    file.unlink()
    with pytest.raises(PolicyError, match="cannot be read"):
        AmbassadorTransport(policy)


def test_only_one_at_a_time(installs: Installs) -> None:
    """A second installation is refused; taking away what is not there does nothing."""
    first, second = Elsewhere(1), Elsewhere(2)
    installs(first)
    with pytest.raises(RuntimeError, match="one at a time"):
        install(second)
    uninstall(second)
    assert world.installed is first
