"""What the application's own code does wrong in the middle of a call: it is told so, and nothing stays taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
import tenacity

from ambassador_lib import AsyncClient, Client
from ambassador_lib.errors import connection_termination
from ambassador_lib.testing import Upstream

BASE = "http://127.0.0.1:15001"

Document = dict[str, Any]
PolicyFor = Callable[..., Document]

RETRY: Document = {"cluster": "up", "retry_policy": {"retry_on": "5xx,reset,connect-failure", "num_retries": 3}}
OUTLIER: Document = {"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100}}


def cluster_of(client: Any) -> Any:
    return client._ambassador()._at_work.clusters["up"]


def assert_nothing_held(client: Any) -> None:
    cluster = cluster_of(client)
    limits = cluster.limits["DEFAULT"]
    assert (limits.active, limits.pending, limits.retries) == (0, 0, 0)
    assert [host.active for host in cluster.hosts] == [0] * len(cluster.hosts)


@pytest.mark.parametrize(
    "error",
    [connection_termination("of another call"), httpx.ReadError("of another client"), ValueError("plain")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("inner", [False, True], ids=["own engine", "httpx's transport"])
@pytest.mark.parametrize("backend", ["sync", "asyncio", "trio"])
def test_a_body_that_fails_is_nobody_elses_failure(
    backend: str, inner: bool, error: Exception, policy_for: PolicyFor
) -> None:
    """The application's error comes out as it is; no part of the body is sent again as if it were whole."""

    def chunks() -> Iterator[bytes]:
        yield b"part"
        raise error

    async def async_chunks() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    with Upstream() as upstream:
        policy = policy_for(upstream, route=RETRY, cluster=OUTLIER)

        def blocking() -> None:
            transport = httpx.HTTPTransport() if inner else None
            with Client(policy, transport=transport) as client:
                with pytest.raises(type(error)) as caught:
                    client.put(BASE, content=chunks())
                judge(client, caught.value)

        async def in_loop() -> None:
            transport = httpx.AsyncHTTPTransport() if inner else None
            async with AsyncClient(policy, transport=transport) as client:
                with pytest.raises(type(error)) as caught:
                    await client.put(BASE, content=async_chunks())
                judge(client, caught.value)

        def judge(client: Any, raised: Any) -> None:
            assert raised is error
            (attempt,) = raised.call.attempts
            assert attempt.error is error
            assert not cluster_of(client).hosts[0].flags, "ejected for what the application did"
            assert_nothing_held(client)

        if backend == "sync":
            blocking()
        else:
            anyio.run(in_loop, backend=backend)
    assert [seen.body for seen in upstream.requests if not seen.failed] == []


def test_a_retry_strategy_that_raises_keeps_no_place(policy_for: PolicyFor) -> None:
    """The place among the cluster's retries was taken for a try that never comes."""

    class BoomError(Exception):
        pass

    def wait(_state: Any) -> float:
        raise BoomError

    strategies = tenacity.Retrying(wait=wait, retry=tenacity.retry_always, stop=tenacity.stop_never)
    with Upstream(503) as upstream, Client(policy_for(upstream, route=RETRY), retry=strategies) as client:
        for _ in range(5):  # more often than there are places
            with pytest.raises(BoomError):
                client.get(BASE)
            assert_nothing_held(client)


def test_an_exception_that_cannot_be_written_to_is_raised_all_the_same(policy_for: PolicyFor) -> None:
    """Its story is lost; what the call took is not."""

    class FrozenError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("__"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    def handler(_request: httpx.Request) -> httpx.Response:
        raise FrozenError

    with Upstream() as upstream, Client(policy_for(upstream), transport=httpx.MockTransport(handler)) as client:
        with pytest.raises(FrozenError):
            client.get(BASE)
        assert_nothing_held(client)


def test_replies_of_calls_that_fail_together_are_not_shared(policy_for: PolicyFor) -> None:
    """Each local reply gets the policy's header once, also where one failed connection failed them all."""
    with Upstream() as upstream:
        upstream.is_down()
        policy = policy_for(upstream, cluster={"circuit_breakers": {"thresholds": [{"max_connections": 1}]}})
        judge_replies(policy)


def judge_replies(policy: Document) -> None:
    manager = policy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["response_headers_to_add"] = [{"header": {"key": "x-added", "value": "once"}}]

    async def main() -> list[httpx.Response]:
        async with AsyncClient(policy, local_replies="response") as client:
            answers: list[httpx.Response] = []

            async def one() -> None:
                answers.append(await client.get(BASE))

            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(one)
            assert_nothing_held(client)
            return answers

    for response in anyio.run(main):
        assert (response.status_code, response.headers.get_list("x-added")) == (503, ["once"])
