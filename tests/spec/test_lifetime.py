"""Nothing leaks: whatever a call took is back when it is over, whichever way it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import httpx
import pytest
import tenacity

from ambassador_lib import AsyncAmbassadorTransport, CircuitOpenError, UpstreamOverflowError
from ambassador_lib.testing.clock import FakeClock, FakeRandom

from .harness import BASE, Body, Spec, bootstrap, story

ALL_LAYERS = bootstrap(
    route={"retry_policy": {"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "2s"}},
    cluster={
        "circuit_breakers": {"thresholds": [{"max_requests": 1, "max_retries": 5}]},
        "outlier_detection": {},
        "metadata": {
            "filter_metadata": {"ambassador_lib": {"circuit_breaker": {"minimum_requests": 3, "open_for": "5s"}}}
        },
    },
    endpoints=2,
)


def test_a_slot_is_held_until_the_body_ends(spec: Spec) -> None:
    """`max_requests` counts a response whose body is still to be read."""
    spec.given(ALL_LAYERS, 200)
    with_body = spec.get(stream=True)
    with pytest.raises(UpstreamOverflowError) as caught:
        spec.get()
    assert caught.value.call is not None and ["UO"] == caught.value.call.flags
    spec.read(with_body)
    assert story(with_body).duration is not None
    assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_an_early_close_gives_the_slot_back(spec: Spec) -> None:
    """A stream that is left early is as good as read."""
    spec.given(ALL_LAYERS, 200)
    response = spec.get(stream=True)
    spec.close(response)
    spec.assert_nothing_held()
    assert 1 == spec.upstream.answers[0].closed


def test_a_body_that_breaks_off_gives_the_slot_back(spec: Spec) -> None:
    """A failing body ends the call like a complete one."""
    spec.given(ALL_LAYERS, httpx.Response(200, stream=Body(b"part", error=httpx.ReadError("reset"))))
    with pytest.raises(httpx.TransportError):
        spec.get()
    spec.assert_nothing_held()


def test_a_foreign_exception_gives_everything_back(spec: Spec) -> None:
    """An inner transport that raises something of its own changes nothing about that."""
    spec.given(ALL_LAYERS, RuntimeError("the application under test is broken"))
    with pytest.raises(RuntimeError, match="under test"):
        spec.get()
    spec.assert_nothing_held()


class Winding(httpx.AsyncBaseTransport):
    """Suspends a few times at every stage of a call: before the head, in the body, on closing."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.open_bodies = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await pause()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.open_bodies += 1
        return httpx.Response(status, stream=WindingBody(self))


class WindingBody(httpx.AsyncByteStream):
    def __init__(self, owner: Winding) -> None:
        self.owner = owner
        self.open = True

    async def __aiter__(self) -> Any:
        for _ in range(2):
            await pause()
            yield b"x"

    async def aclose(self) -> None:
        if self.open:
            self.open = False
            self.owner.open_bodies -= 1
        await pause()


async def pause() -> None:
    for _ in range(2):
        await anyio.lowlevel.checkpoint()


async def one_call(transport: AsyncAmbassadorTransport) -> None:
    client = httpx.AsyncClient(transport=transport)
    response = await client.post(BASE + "/", content=upload(), headers={"idempotency-key": "k"})
    assert 200 == response.status_code


async def upload() -> Any:
    for _ in range(2):
        await anyio.lowlevel.checkpoint()
        yield b"up"


def idle(transport: AsyncAmbassadorTransport, inner: Winding) -> None:
    assert transport._at_work is not None
    cluster = transport._at_work.clusters["c"]
    limits = cluster.limits["DEFAULT"]
    assert (0, 0, 0) == (limits.active, limits.pending, limits.retries)
    assert [0, 0] == [host.active for host in cluster.hosts]
    assert 0 == inner.open_bodies


def test_cancellation_after_every_step_on_asyncio() -> None:
    """A task cancelled after its n-th step has given everything back, for every n."""

    async def cancel_after(steps: int) -> bool:
        inner = Winding(503, 503, 200)
        transport = AsyncAmbassadorTransport(ALL_LAYERS, inner=inner, clock=FakeClock(), random=FakeRandom())
        task = asyncio.ensure_future(one_call(transport))
        for _ in range(steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        idle(transport, inner)
        return finished

    steps = 0
    while not asyncio.run(cancel_after(steps)):
        steps += 1
    assert steps > 10, "the call suspends often, or this test tests nothing"


def test_cancellation_at_every_checkpoint_on_trio() -> None:
    """The same under trio, where a scope is cancelled while the call is at its n-th pause."""

    async def cancel_at(n: int) -> bool:
        inner = Winding(503, 503, 200)
        transport = AsyncAmbassadorTransport(ALL_LAYERS, inner=inner, clock=FakeClock(), random=FakeRandom())
        finished = False
        with anyio.CancelScope() as scope:

            async def count() -> None:
                for _ in range(n):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(count)
                await one_call(transport)
                finished = True
        idle(transport, inner)
        return finished

    n = 0
    while not anyio.run(cancel_at, n, backend="trio"):
        n += 1
        assert n < 500
    assert n > 10, "the call suspends often, or this test tests nothing"


def test_a_cancelled_probe_gives_its_place_back() -> None:
    """A half-open breaker whose probe is cancelled lets the next one through."""

    async def main() -> None:
        clock = FakeClock()
        inner = Winding(500)
        transport = AsyncAmbassadorTransport(ALL_LAYERS, inner=inner, clock=clock, random=FakeRandom())
        client = httpx.AsyncClient(transport=transport)
        for _ in range(3):  # three failures open the breaker
            with anyio.move_on_after(1):
                try:
                    await client.get(BASE)
                except CircuitOpenError:
                    break
        with pytest.raises(CircuitOpenError):
            await client.get(BASE)
        clock.advance(6)
        probe = asyncio.ensure_future(client.get(BASE))
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        inner.statuses = [200]
        assert 200 == (await client.get(BASE)).status_code
        idle(transport, inner)

    asyncio.run(main())


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_gives_everything_back(interruption: type[BaseException]) -> None:
    """Ctrl-C in the middle of a blocking call leaves nothing behind, and says nothing of the upstream."""

    class Interrupted(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise interruption

    spec = Spec("blocking").given(ALL_LAYERS, upstream=Interrupted())
    for _ in range(5):
        with pytest.raises(interruption):
            spec.get()
        spec.assert_nothing_held()
    assert "closed" == spec.cluster.breaker.state


def test_a_discarded_response_that_fails_to_close(spec: Spec) -> None:
    """What the inner transport raises there is the application's to see; every place comes back."""

    class Stubborn(Body):
        def close(self) -> None:
            raise RuntimeError("cannot close")

        async def aclose(self) -> None:
            raise RuntimeError("cannot close")

    spec.given(ALL_LAYERS, httpx.Response(503, stream=Stubborn(b"x")), 200)
    with pytest.raises(RuntimeError, match="cannot close"):
        spec.get()
    spec.assert_nothing_held()


def test_an_applications_strategy_that_raises(spec: Spec) -> None:
    """A `retry=` with a mistake in it breaks its own call, and nothing else."""

    def mistaken(state: tenacity.RetryCallState) -> bool:
        raise ZeroDivisionError

    body = Body(b"x")
    retry = tenacity.Retrying(retry=mistaken)
    spec.given(ALL_LAYERS, httpx.Response(503, stream=body), 200, retry=retry)
    with pytest.raises(ZeroDivisionError):
        spec.get()
    spec.assert_nothing_held()
    assert 1 == body.closed
    assert 200 == spec.get().status_code
