"""Mirrored copies: they change nothing for the call, and leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import CallReport

from .beside import HANG, Beside, nothing_held, settle, until
from .documents import Document, cluster, endpoint, listener, policy, route, vhost
from .harness import BASE, Spec, story

SHADOW = "10.0.0.9:80"


def mirrored(timeout: str = "5s", **fields: Any) -> Document:
    """Return a policy that mirrors everything to the cluster `s`."""
    to_s = route(timeout=timeout, request_mirror_policies=[{"cluster": "s", **fields}])
    return policy(
        listener(vhost(routes=[to_s])),
        clusters=[cluster(), cluster("s", groups=[{"lb_endpoints": [endpoint(9)]}])],
    )


def to_shadow(request: httpx.Request) -> bool:
    return bool(request.extensions["ambassador_endpoint"] == SHADOW)


def shadows(upstream: Beside) -> list[httpx.Request]:
    return [request for request in upstream.seen if to_shadow(request)]


def chunks(spec: Spec, *parts: bytes, error: Exception | None = None) -> Any:
    """Return a body of unknown length, in this mode's kind, that may fail at its end."""

    def blocking() -> Iterator[bytes]:
        yield from parts
        if error is not None:
            raise error

    async def loop() -> AsyncIterator[bytes]:
        for part in blocking():
            await anyio.lowlevel.checkpoint()
            yield part

    return blocking() if spec.is_blocking else loop()


def test_the_copy_is_no_part_of_the_call(spec: Spec) -> None:
    """The shadow's answer is read, dropped and told nobody; all places are given back."""
    upstream = Beside(lambda _, request: 500 if to_shadow(request) else 200)
    spec.given(mirrored(), upstream=upstream)
    response = settle(spec, lambda: spec.client.get(f"{BASE}/x"), lambda: len(upstream.answers) == 2)
    report: CallReport = story(response)
    assert 200 == response.status_code
    assert ["10.0.0.1:80"] == [attempt.endpoint for attempt in report.attempts]
    (copy,) = shadows(upstream)
    assert "127.0.0.1-shadow:15001" == copy.headers["host"]
    settle(spec, lambda: spec.client.get(f"{BASE}/x"), lambda: nothing_held(spec))


def test_a_hanging_shadow_holds_nothing_up_and_ends_with_the_client(spec: Spec) -> None:
    """The call returns at once; closing the client ends the copy and gives its places back."""
    upstream = Beside(lambda _, request: HANG if to_shadow(request) else 200)
    spec.given(mirrored(), upstream=upstream)

    def blocking() -> None:
        assert 200 == spec.client.get(f"{BASE}/x").status_code
        spec.client.close()

    async def loop() -> None:
        assert 200 == (await spec.client.get(f"{BASE}/x")).status_code
        await spec.client.aclose()

    settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec))


def test_both_read_a_streamed_body(spec: Spec) -> None:
    """The application's stream is read once, and sent twice."""
    upstream = Beside(lambda _number, _request: 200)
    spec.given(mirrored(), upstream=upstream)
    response = settle(
        spec,
        lambda: spec.client.post(f"{BASE}/x", content=chunks(spec, b"ab", b"cd")),
        lambda: len(upstream.answers) == 2,
    )
    assert 200 == response.status_code
    assert {1: b"abcd", 2: b"abcd"} == upstream.bodies


def test_a_body_that_fails_is_not_sent_to_the_shadow_as_if_it_were_whole(spec: Spec) -> None:
    """The application's stream fails: so does the copy's upload, and nothing is kept."""
    upstream = Beside(lambda _number, _request: 200)
    spec.given(mirrored(), upstream=upstream)

    def failing() -> Any:
        return spec.client.post(f"{BASE}/x", content=chunks(spec, b"ab", error=ValueError("mine")))

    def blocking() -> None:
        with pytest.raises(ValueError, match="mine"):
            failing()

    async def loop() -> None:
        with pytest.raises(ValueError, match="mine"):
            await failing()

    settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec))
    assert {} == upstream.bodies
    assert [] == upstream.answers


def test_a_shadow_whose_cluster_is_full_is_dropped(spec: Spec) -> None:
    """Copies take places in their own cluster alone, and one too many is no error."""
    document = mirrored()
    document["static_resources"]["clusters"][1]["circuit_breakers"] = {"thresholds": [{"max_requests": 0}]}
    upstream = Beside(lambda _number, _request: 200)
    spec.given(document, upstream=upstream)
    response = settle(spec, lambda: spec.client.get(f"{BASE}/x"), lambda: nothing_held(spec))
    assert 200 == response.status_code
    assert [] == shadows(upstream)


def test_more_copies_than_can_run_are_dropped(spec: Spec) -> None:
    """Beyond the bound no copy is made, and the call does not notice."""
    upstream = Beside(lambda _, request: HANG if to_shadow(request) else 200)
    spec.given(mirrored(), upstream=upstream)
    spec.transport._at_work.parts.copies._limit = 1

    def blocking() -> None:
        for _ in range(3):
            assert 200 == spec.client.get(f"{BASE}/x").status_code
        upstream.release()

    async def loop() -> None:
        for _ in range(3):
            assert 200 == (await spec.client.get(f"{BASE}/x")).status_code
            await anyio.sleep(0.01)
        upstream.release()

    settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec), lambda: bool(shadows(upstream)))
    assert 1 == len(shadows(upstream))


def test_a_cancelled_caller_leaves_the_copy_alone() -> None:
    """What was sent as a whole goes on by itself, as in Envoy; the cancelled call gives back what is its own."""
    for mode in ("asyncio", "trio"):
        spec = Spec(mode)
        upstream = Beside(lambda _number, _request: HANG)
        spec.given(mirrored(), upstream=upstream)

        async def cancelled(spec: Spec = spec, upstream: Beside = upstream) -> None:
            with anyio.move_on_after(5) as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(spec.client.get, f"{BASE}/x")
                    await until(lambda: len(upstream.seen) == 2)
                    tasks.cancel_scope.cancel()
            assert not scope.cancelled_caught
            assert 1 == upstream.cancelled
            upstream.release()

        settle(spec, cancelled, lambda spec=spec: nothing_held(spec))  # type: ignore[misc]
        assert 1 == len(upstream.answers)
