"""Opening, closing, and what is left afterwards."""

from __future__ import annotations

import gc
import pickle
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import pytest

from ambassador_lib import AsyncClient, Client, PolicyError, UpstreamOverflowError
from ambassador_lib.testing import Upstream, reply, simulation

from .conftest import MakeClient, Recorder
from .documents import BASE, cluster, policy


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail where a socket of the block is left for the garbage collector."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("document", [None, policy()])
def test_what_the_client_is_given_is_closed_once(make_client: MakeClient, document: object) -> None:
    """`transport=` and `mounts=` are closed with the client, once each, as httpx does; closing twice does no more."""
    inner, mount = Recorder(), Recorder("mount")
    client = make_client(document, transport=inner, mounts={"all://mounted": mount})
    client.get(BASE)

    client.close()
    client.close()

    assert (inner.closed, mount.closed) == (1, 1)
    assert client.is_closed


def test_leaving_the_context_closes(make_client: MakeClient) -> None:
    """The context manager closes everything, also after an exception."""
    inner = Recorder(answer=lambda _: httpx.Response(404))

    with pytest.raises(httpx.HTTPStatusError), make_client(policy(), transport=inner) as client:
        client.get(BASE).raise_for_status()

    assert inner.closed == 1
    assert client.is_closed


@pytest.mark.parametrize("document", [None, policy()])
def test_a_closed_client_refuses(make_client: MakeClient, document: object) -> None:
    """A closed client sends nothing and cannot be opened again, as with httpx."""
    client = make_client(document, transport=Recorder())
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.get(BASE)
    with pytest.raises(RuntimeError, match="closed"):
        client.ready()
    with pytest.raises(RuntimeError):
        client.__enter__()


def test_a_policy_error_comes_before_anything_is_made(make_client: MakeClient) -> None:
    """A policy that cannot be used starts no thread and closes nothing that was passed in."""
    inner = Recorder()
    before = threading.active_count()

    with pytest.raises(PolicyError):
        make_client({"static_resources": {"listener": []}}, transport=inner)
    with pytest.raises(ValueError, match="sometimes"):
        make_client(policy(), transport=inner, local_replies="sometimes")

    assert inner.closed == 0
    assert threading.active_count() == before


def test_ready_returns_for_static_clusters(make_client: MakeClient) -> None:
    """With nothing to resolve and no health checks, `ready` returns at once, with and without a policy."""
    make_client(policy(), transport=Recorder()).ready(timeout=0)
    make_client().ready(timeout=0)


def test_clients_are_not_pickled() -> None:
    """As httpx's clients: they hold connections and locks."""
    with Client(policy(), transport=Recorder()) as client, pytest.raises(TypeError):
        pickle.dumps(client)


def test_one_async_client_over_two_event_loops() -> None:
    """An `AsyncClient` made outside may be used by one `asyncio.run` after another."""
    with Upstream() as upstream, warnings.catch_warnings():
        client = AsyncClient(policy(clusters=[cluster("up", upstream.port)]))

        async def call() -> int:
            return (await client.get(BASE)).status_code

        assert [anyio.run(call), anyio.run(call)] == [200, 200]
        anyio.run(client.aclose)
        # What a loop kept open when it ended only the collector can close, and asyncio warns of it.
        warnings.simplefilter("ignore", ResourceWarning)
        client = AsyncClient()
        gc.collect()


def test_a_cancelled_call_gives_its_place_back() -> None:
    """With one request allowed at a time, a cancelled one makes room for the next."""
    limits = {"thresholds": [{"max_requests": 1}]}
    with simulation() as kit:
        up = kit.simulated_upstreams.up
        up.hangs(1).then.replies(200)
        document = kit.policy(policy(clusters=[cluster("up", up.port, circuit_breakers=limits)]), upstreams={"up": up})

        async def main() -> int:
            async with AsyncClient(document) as client:
                with anyio.move_on_after(3) as scope:
                    await client.get(BASE)
                assert scope.cancelled_caught
                return (await client.get(BASE)).status_code

        assert anyio.run(main) == 200
        assert kit.virtual_time.elapsed == 3


def test_a_call_that_is_dropped_where_it_waits_gives_its_place_back() -> None:
    """Nobody cancels it: that it goes is all there is to know of it."""
    limits = {"thresholds": [{"max_pending_requests": 1}]}
    with Upstream() as upstream:

        async def main() -> int:
            async with AsyncClient(policy(clusters=[cluster("up", upstream.port, circuit_breakers=limits)])) as client:
                call = client.get(BASE)
                call.send(None)
                with pytest.raises(UpstreamOverflowError):
                    await client.get(BASE)
                del call
                gc.collect()
                return (await client.get(BASE)).status_code

        assert anyio.run(main) == 200


def test_many_threads_share_a_client() -> None:
    """A `Client` may be used by many threads at once."""
    inner = Recorder()
    statuses: list[int] = []
    with Client(policy(), transport=inner) as client:

        def work() -> None:
            statuses.extend(client.get(BASE).status_code for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert statuses == [200] * 160
    assert len(inner.requests) == 160


def test_closing_while_a_stream_is_open(kind: str) -> None:
    """A stream that is still open when the client is closed leaves nothing behind once it is closed itself."""
    with Upstream(reply(content=b"x" * 100_000)) as upstream:
        document = policy(clusters=[cluster("up", upstream.port)])

        def blocking() -> None:
            client = Client(document)
            response = client.send(client.build_request("GET", BASE), stream=True)
            client.close()
            response.close()

        async def main() -> None:
            client = AsyncClient(document)
            response = await client.send(client.build_request("GET", BASE), stream=True)
            await client.aclose()
            await response.aclose()

        with nothing_left_open():
            blocking() if kind == "sync" else anyio.run(main)
