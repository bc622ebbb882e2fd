"""Hedged tries: one answer counts, and nothing is left of the others, however the call ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import tenacity

from ambassador_lib import RouteTimeoutError, UpstreamResetError
from ambassador_lib.handlers.hedge import Race
from ambassador_lib.handlers.retry import Retry
from ambassador_lib.testing.clock import FakeRandom

from .beside import HANG, Beside, nothing_held, settle, until
from .documents import Document
from .harness import BASE, Spec, bootstrap, story, told


def hedged(retries: int = 1, *, timeout: str = "10s", endpoints: int = 1, **cluster: Any) -> Document:
    """Return a policy that hedges after 0.3 s of virtual time."""
    return bootstrap(
        route={
            "timeout": timeout,
            "hedge_policy": {"hedge_on_per_try_timeout": True},
            "retry_policy": {"retry_on": "5xx", "num_retries": retries, "per_try_timeout": "0.3s"},
        },
        cluster=cluster,
        endpoints=endpoints,
    )


def given(spec: Spec, document: Document, answer: Callable[[int], int | str], **options: Any) -> Beside:
    """Put an upstream behind the policy that lets a second pass whenever a try hangs."""

    def answered(number: int, _request: httpx.Request) -> int | str:
        outcome = answer(number)
        if outcome == HANG:
            spec.clock.advance(1.0)
        return outcome

    upstream = Beside(answered)
    random = FakeRandom(*[0.0] * 64)
    spec.given(document, upstream=upstream, random=random, **{"retry_safety": "policy", **options})
    return upstream


def get(spec: Spec, upstream: Beside, *, release: bool = True) -> httpx.Response:
    """Make a call and wait until nothing of it is left; what an engine cannot break off is released after it."""

    def blocking() -> Any:
        response = spec.client.get(f"{BASE}/x")
        upstream.release()
        return response

    async def loop() -> Any:
        response = await spec.client.get(f"{BASE}/x")
        if release:
            upstream.release()
        return response

    response: httpx.Response = settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec))
    return response


def test_the_second_try_wins_and_the_first_is_given_up(spec: Spec) -> None:
    """The loser is broken off where that is possible, its places come back, and the report tells of both."""
    upstream = given(spec, hedged(), lambda number: HANG if number == 1 else 200)
    response = get(spec, upstream, release=False)
    assert 200 == response.status_code
    first, second = story(response).attempts
    assert ("hedge-on-per-try-timeout", "another try answered first") == (
        first.retried_because,
        first.not_retried_because,
    )
    assert first.duration is not None
    assert (2, 200) == (second.number, second.status)
    assert (0 if spec.is_blocking else 1) == upstream.cancelled
    assert all(body.closed for body in upstream.answers)


def test_a_call_that_answers_in_time_is_one_try(spec: Spec) -> None:
    """Nothing is started beside it."""
    upstream = given(spec, hedged(), lambda _: 200)
    response = get(spec, upstream)
    assert 1 == len(upstream.seen)
    assert [200] == [attempt.status for attempt in story(response).attempts]


def test_bad_answers_are_retried_as_ever(spec: Spec) -> None:
    """A try that fails before its time is followed by the next; the last failure is the call's."""
    upstream = given(spec, hedged(2), lambda _: 503)
    response = get(spec, upstream)
    assert (503, 3) == (response.status_code, len(upstream.seen))
    assert ["URX"] == story(response).flags
    assert all(body.closed for body in upstream.answers)


def test_a_bad_answer_is_dropped_while_another_try_is_pending(spec: Spec) -> None:
    """The second try fails at once; the first one's late answer counts."""
    upstream = given(spec, hedged(), lambda number: HANG if number == 1 else 503)

    def blocking() -> Any:
        return spec.client.get(f"{BASE}/x")

    async def loop() -> Any:
        return await spec.client.get(f"{BASE}/x")

    def release_late() -> bool:
        return True

    answer = upstream._answer

    def second_releases(number: int, request: httpx.Request) -> int | str:
        outcome = answer(number, request)
        if number == 2:
            upstream.release()
        return outcome

    upstream._answer = second_releases
    response = settle(spec, blocking if spec.is_blocking else loop, release_late, lambda: nothing_held(spec))
    assert 200 == response.status_code
    assert [200, 503] == [attempt.status for attempt in story(response).attempts]


def test_of_two_answers_at_once_the_other_is_given_back(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tries have ended when the call looks: what the one holds that does not count is not forgotten."""
    upstream = given(spec, hedged(), lambda number: HANG if number == 1 else 200)
    answer, wait = upstream._answer, Race._wait

    def second_releases(number: int, request: httpx.Request) -> int | str:
        outcome = answer(number, request)
        if number == 2:
            upstream.release()
        return outcome

    async def until_both_have_ended(race: Race) -> None:
        await wait(race)
        for _ in range(1000):
            if len(race._running) < 2 or len(race._finished) == 2:
                return
            if spec.is_blocking:
                time.sleep(0.001)  # noqa: ASYNC251 - for the other thread; no loop is here
            else:
                await anyio.lowlevel.checkpoint()

    upstream._answer = second_releases
    monkeypatch.setattr(Race, "_wait", until_both_have_ended)
    assert 200 == get(spec, upstream).status_code
    assert [True, True] == [body.closed > 0 for body in upstream.answers]


def test_a_strategy_that_raises_leaves_nothing_behind(spec: Spec) -> None:
    """The answer that it was asked about is closed."""

    def refuse(_state: tenacity.RetryCallState) -> bool:
        raise ZeroDivisionError

    upstream = given(spec, hedged(), lambda _number: 503, retry=tenacity.Retrying(stop=refuse))
    with pytest.raises(ZeroDivisionError):
        get(spec, upstream)
    assert nothing_held(spec)
    assert [True] == [body.closed > 0 for body in upstream.answers]


def test_a_try_that_breaks_off_ends_the_call_only_as_the_last(spec: Spec) -> None:
    """Both tries are reset: the exception is the last one's, and says that it was retried."""

    def answer(number: int) -> int | str:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    upstream = given(spec, hedged(), answer)

    def blocking() -> Any:
        with pytest.raises(UpstreamResetError) as caught:
            spec.client.get(f"{BASE}/x")
        return caught.value

    async def loop() -> Any:
        with pytest.raises(UpstreamResetError) as caught:
            await spec.client.get(f"{BASE}/x")
        return caught.value

    error = settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec))
    assert 2 == len(upstream.seen)
    assert "retried and the latest" in error.reply.body
    assert ["UC", "URX"] == sorted(told(error).flags)


def test_the_routes_timeout_ends_all_tries(spec: Spec) -> None:
    """Nobody answers: the call fails at the route's timeout, and nothing stays behind."""
    upstream = given(spec, hedged(timeout="2s"), lambda _: HANG)

    def blocking() -> Any:
        with pytest.raises(RouteTimeoutError):
            spec.client.get(f"{BASE}/x")
        upstream.release()

    async def loop() -> Any:
        with pytest.raises(RouteTimeoutError):
            await spec.client.get(f"{BASE}/x")

    ticking = upstream._answer

    def ticks(number: int, request: httpx.Request) -> int | str:
        outcome = ticking(number, request)
        if number == 2:
            spec.clock.advance(1.0)
        return outcome

    upstream._answer = ticks
    settle(spec, blocking if spec.is_blocking else loop, lambda: nothing_held(spec))
    assert 2 == len(upstream.seen)


def test_requests_that_are_not_idempotent_are_not_hedged(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """`retry_safety="idempotent"` takes the second try away: the upstream may have done the work."""
    upstream = given(spec, hedged(), lambda _: HANG, retry_safety="idempotent")
    consider = Retry.consider

    def considered(self: Retry, *arguments: Any) -> float | None:
        try:
            return consider(self, *arguments)
        finally:
            upstream.release()

    monkeypatch.setattr(Retry, "consider", considered)
    response = settle(spec, lambda: spec.client.post(f"{BASE}/x", content=b"charge"), lambda: nothing_held(spec))
    assert (200, 1) == (response.status_code, len(upstream.seen))
    (attempt,) = story(response).attempts
    assert "Idempotency-Key" in (attempt.not_retried_because or "")


def test_without_room_for_more_tries_a_call_is_not_hedged(spec: Spec) -> None:
    """Beyond the bound the call is made as if the policy said nothing of hedging."""
    upstream = given(spec, hedged(), lambda _: 200)
    spec.transport._at_work.parts.racers._limit = 0
    assert 200 == get(spec, upstream).status_code


def test_a_cancelled_call_takes_all_its_tries_along() -> None:
    """Both tries are cancelled with the caller, and give their places back."""
    for mode in ("asyncio", "trio"):
        spec = Spec(mode)
        upstream = given(spec, hedged(), lambda _: HANG)

        async def cancelled(spec: Spec = spec, upstream: Beside = upstream) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(spec.client.get, f"{BASE}/x")
                await until(lambda: len(upstream.seen) == 2)
                tasks.cancel_scope.cancel()

        settle(spec, cancelled, lambda spec=spec: nothing_held(spec))  # type: ignore[misc]
        assert 2 == upstream.cancelled


def test_the_winners_body_is_read_under_the_calls_bounds(spec: Spec) -> None:
    """A slot is held until the winner's body has been read or left."""
    upstream = given(spec, hedged(), lambda _: 200)
    response = spec.get("/x", stream=True)
    assert 1 == spec.cluster.limits["DEFAULT"].active
    assert b"x" == spec.read(response)
    assert nothing_held(spec)
    assert 1 == len(upstream.seen)
