"""The buffer filter (semantics 9.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ambassador_lib import LocalReplyError

from .documents import TYPE
from .harness import Spec, story, told
from .test_durations import upload
from .test_filters import FORWARD, filtered

KIND = f"{TYPE}.filters.http.buffer.v3.Buffer"


def buffer(limit: int) -> dict[str, Any]:
    return {"@type": KIND, "max_request_bytes": limit}


def on_route(**override: Any) -> dict[str, Any]:
    return {"typed_per_filter_config": {"f0": {"@type": f"{KIND}PerRoute", **override}}}


def streamed(spec: Spec, *chunks: bytes, error: Exception | None = None) -> Any:
    """A body of unknown length, in this mode's form."""

    def pieces() -> Iterator[bytes]:
        yield from chunks
        if error is not None:
            raise error

    async def pieces_async() -> AsyncIterator[bytes]:
        for chunk in pieces():
            yield chunk

    return pieces() if spec.is_blocking else pieces_async()


def refused(spec: Spec, content: Any) -> LocalReplyError:
    with pytest.raises(LocalReplyError) as caught:
        spec.post(content=content)
    return caught.value


def test_a_body_that_is_too_large_is_refused(spec: Spec) -> None:
    """413 before anything is sent; exactly the limit is fine."""
    spec.given(filtered(buffer(10)))
    assert 200 == spec.post(content=b"x" * 10).status_code
    error = refused(spec, b"x" * 11)
    assert (413, b"Payload Too Large") == (error.response.status_code, error.response.content)
    assert ([], "request_payload_too_large") == (told(error).flags, told(error).details)
    assert 1 == len(spec.upstream.seen)


def test_a_streamed_body_is_sent_whole(spec: Spec) -> None:
    """Chunks become one body with a length, an empty one too."""
    spec.given(filtered(buffer(10)))
    spec.post(content=streamed(spec, b"abc", b"def"))
    spec.post(content=streamed(spec))
    assert [b"abcdef", b""] == spec.upstream.bodies
    assert ["6", "0"] == [request.headers["content-length"] for request in spec.upstream.seen]
    assert "transfer-encoding" not in spec.upstream.seen[0].headers


def test_a_streamed_body_that_grows_too_large_is_refused(spec: Spec) -> None:
    """No more of it is read than is needed to tell."""
    spec.given(filtered(buffer(10)))
    read: list[int] = []
    chunks = (read.append(n) or b"xxx" for n in range(100))  # type: ignore[func-returns-value]
    assert 413 == refused(spec, streamed(spec, *[b"xxx"] * 4)).response.status_code
    if spec.is_blocking:
        assert 413 == refused(spec, chunks).response.status_code
        assert 4 == len(read)
    assert [] == spec.upstream.seen


def test_the_applications_own_failure_comes_back_as_it_is(spec: Spec) -> None:
    """A stream that raises is nobody else's failure, and nothing of it is sent."""
    spec.given(filtered(buffer(10)))
    for error in (ValueError("mine"), LocalReplyError("theirs")):
        with pytest.raises(type(error)) as caught:
            spec.post(content=streamed(spec, b"abc", error=error))
        assert caught.value is error
    assert [] == spec.upstream.seen
    assert 200 == spec.get().status_code


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"disabled": True}, 200),
        ({"buffer": {"max_request_bytes": 30}}, 200),
        ({"buffer": {"max_request_bytes": 3}}, 413),
    ],
)
def test_a_route_overrides_the_limit(spec: Spec, override: Any, expected: int) -> None:
    """Off, higher or lower."""
    policy = filtered(buffer(10), routes=[{**FORWARD, **on_route(**override)}])
    spec.given(policy, local_replies="response")
    assert expected == spec.post(content=b"x" * 20).status_code


def test_what_is_buffered_can_be_sent_again(spec: Spec) -> None:
    """The filter's limit takes the place of the connection's (1 MiB): a larger body is retried."""
    retry = {"retry_policy": {"retry_on": "5xx", "num_retries": 1}}
    spec.given(filtered(buffer(3_000_000), route=retry), 503, 200, retry_safety="policy")
    assert 200 == spec.post(content=b"x" * 2_000_000).status_code
    assert [2_000_000] * 2 == [len(body) for body in spec.upstream.bodies]


@pytest.mark.parametrize(
    ("parts", "details"),
    [
        ({"manager": {"request_timeout": "1s"}}, "request_overall_timeout"),
        ({"route": {"max_stream_duration": {"max_stream_duration": "1s"}}}, "max_duration_timeout"),
        ({"route": {"idle_timeout": "0.5s"}}, "stream_idle_timeout"),
    ],
)
def test_what_bounds_the_stream_bounds_the_body(spec: Spec, parts: Any, details: str) -> None:
    """A body that takes too long to come is a 408 before anything is sent; one in time is sent."""
    spec.given(filtered(buffer(1000), **parts), local_replies="response")
    assert 200 == spec.post(**upload(spec, pause=0.2)).status_code
    response = spec.post(**upload(spec, pause=0.6))
    assert (408, details) == (response.status_code, story(response).details)
    assert 1 == len(spec.upstream.seen)
    spec.assert_nothing_held()
