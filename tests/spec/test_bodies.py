"""Bodies that misbehave: uploads that fail or stall, downloads that are left, answered early or come in odd shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError, UpstreamOverflowError

from .documents import bootstrap
from .harness import Body, Spec, story, told

RETRY = {"retry_policy": {"retry_on": "5xx,reset,connect-failure", "num_retries": 2}}


class Upload(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request body that may fail in its middle, and take its time."""

    def __init__(self, spec: Spec, *parts: bytes | float | Exception) -> None:
        self.spec = spec
        self.parts = parts
        self.sent = 0

    def __iter__(self) -> Any:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                self.sent += 1
                yield part
            else:
                self.spec.clock.advance(part)

    async def __aiter__(self) -> Any:
        for chunk in self:
            yield chunk


def upload(spec: Spec, *parts: bytes | float | Exception, **arguments: Any) -> httpx.Response:
    stream = Upload(spec, *parts)
    request = httpx.Request("PUT", "http://127.0.0.1:15001/", stream=stream, **arguments)
    response: httpx.Response = spec.wait(spec.client.send(request))
    return response


class ApplicationError(Exception):
    pass


def test_an_upload_that_fails_is_the_applications_own(spec: Spec) -> None:
    """Its exception comes out as it is; nothing is tried again and nobody is blamed."""
    detection = {"outlier_detection": {"consecutive_5xx": 1, "max_ejection_percent": 100}}
    spec.given(bootstrap(route=RETRY, cluster=detection))
    with pytest.raises(ApplicationError) as caught:
        upload(spec, b"part", ApplicationError())
    assert 1 == len(told(caught.value).attempts)
    assert "healthy" in repr(spec.cluster.hosts[0])
    spec.assert_nothing_held()


def test_a_slow_upload_costs_no_route_timeout(spec: Spec) -> None:
    """The route's time begins when the request is complete."""
    spec.given(bootstrap(route={"timeout": "1s"}))
    assert 200 == upload(spec, b"1", 0.8, b"2", 0.8, b"3").status_code
    assert [b"123"] == spec.upstream.bodies


def test_an_upload_that_stalls_is_idle(spec: Spec) -> None:
    """With the request unfinished the stream's idle timeout is 408 SI."""
    spec.given(bootstrap(route={"timeout": "0s", "idle_timeout": "2s"}))
    with pytest.raises(LocalReplyError) as caught:
        upload(spec, b"1", 3.0, b"2")
    assert caught.value.response is not None
    assert (408, "stream timeout") == (caught.value.response.status_code, caught.value.response.text)
    assert ["SI"] == told(caught.value).flags
    spec.assert_nothing_held()


IMPATIENT = {"timeout": {"write": 2.0, "read": 2.0, "connect": 1.0, "pool": 1.0}}


class SlowReader(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes three seconds for each chunk of an upload."""

    def __init__(self, spec: Spec) -> None:
        self.clock = spec.clock

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, Iterable)
        for _ in request.stream:
            self.clock.advance(3)
        return httpx.Response(200, stream=Body(b"x"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for _ in request.stream:
            self.clock.advance(3)
        return httpx.Response(200, stream=Body(b"x"))


def test_the_applications_write_timeout(spec: Spec) -> None:
    """`write` bounds the wait for the upstream to take a piece of the upload."""
    spec.given(bootstrap(), upstream=SlowReader(spec))
    assert 200 == upload(spec, b"1", b"2").status_code
    with pytest.raises(httpx.WriteTimeout) as caught:
        upload(spec, b"1", b"2", extensions=IMPATIENT)
    assert type(caught.value) is httpx.WriteTimeout
    assert ["DC"] == told(caught.value).flags
    spec.assert_nothing_held()


def test_an_application_that_takes_its_time_is_under_no_timeout_of_its_own(spec: Spec) -> None:
    """As with httpx: `write` and `read` are about the other side."""
    spec.given(bootstrap())
    assert 200 == upload(spec, 3.0, b"1", 3.0, b"2", 3.0, extensions=IMPATIENT).status_code


def test_a_try_that_broke_off_in_the_upload_goes_on_from_there(spec: Spec) -> None:
    """What was read of the stream is sent again, what was not is read then."""
    taken: list[bytes] = []

    class Broken(httpx.BaseTransport, httpx.AsyncBaseTransport):
        """Breaks the first try off after one chunk."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, Iterable)
            for chunk in request.stream:
                taken.append(chunk)
                if len(taken) == 1:
                    raise httpx.WriteError("reset")
            return httpx.Response(200, stream=Body(b"x"))

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            chunks = aiter(request.stream)
            async for chunk in chunks:
                taken.append(chunk)
                if len(taken) == 1:
                    await chunks.aclose()  # type: ignore[attr-defined]
                    raise httpx.WriteError("reset")
            return httpx.Response(200, stream=Body(b"x"))

    spec.given(bootstrap(route=RETRY), upstream=Broken())
    assert 200 == upload(spec, b"1", b"2", b"3").status_code
    assert [b"1", b"1", b"2", b"3"] == taken
    spec.assert_nothing_held()


@pytest.mark.parametrize("retried", [True, False])
def test_an_upload_may_fill_one_buffer_again_and_again(spec: Spec, retried: bool) -> None:
    """What was read of it is sent as it was then, by a second try too."""
    buffer = bytearray(2)

    class Refilled(Upload):
        def __iter__(self) -> Any:
            for part in super().__iter__():
                buffer[:] = part
                yield memoryview(buffer)

    spec.given(bootstrap(route=RETRY), 503 if retried else 200, 200)
    request = httpx.Request("PUT", "http://127.0.0.1:15001/", stream=Refilled(spec, b"ab", b"cd", b"ef"))
    assert 200 == spec.wait(spec.client.send(request)).status_code
    assert [b"abcdef"] * (2 if retried else 1) == spec.upstream.bodies


def test_a_response_that_comes_read_is_over_at_once(spec: Spec) -> None:
    """Mocks answer with `content=`: there is no body to wait for, and no slot is held for it."""
    limits = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    spec.given(bootstrap(cluster=limits), lambda request: httpx.Response(200, json={"a": 1}))
    for _ in range(3):
        response = spec.get()
        assert {"a": 1} == response.json()
        assert story(response).duration is not None
    spec.assert_nothing_held()


def test_several_streams_at_once(spec: Spec) -> None:
    """Each holds its own place, in whatever order they end."""
    limits = {"circuit_breakers": {"thresholds": [{"max_requests": 3}]}}
    spec.given(bootstrap(cluster=limits), 200)
    held = [spec.get(stream=True) for _ in range(3)]
    with pytest.raises(UpstreamOverflowError):
        spec.get()
    for response in (held[1], held[0], held[2]):
        spec.close(response)
        spec.close(response)
        assert 200 == spec.get().status_code
    spec.assert_nothing_held()


def test_a_body_that_fails_to_close_gives_back_all_the_same(spec: Spec) -> None:
    """Whatever the inner transport's stream raises on closing."""

    class Stubborn(Body):
        def close(self) -> None:
            raise ApplicationError

        async def aclose(self) -> None:
            raise ApplicationError

    spec.given(bootstrap(), httpx.Response(200, stream=Stubborn(b"x")))
    with pytest.raises(ApplicationError):
        spec.get()
    spec.assert_nothing_held()


def test_content_encoding_is_the_clients_business(spec: Spec) -> None:
    """Bodies travel as they are: `iter_raw` is what the upstream sent."""
    packed = httpx.Response(200, headers={"content-encoding": "identity", "x-a": "1"}, stream=Body(b"ab", b"cd"))
    response = spec.given(bootstrap(), packed).get(stream=True)
    assert [b"ab", b"cd"] == spec.chunks(response)
