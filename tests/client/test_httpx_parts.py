"""What is made without httpx's constructors is what they would have made."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib._httpx import content_of, make_response

LINES = [(b"Content-Type", b"content-type", b"text/plain"), (b"x-\xe4", b"x-\xe4", b"\xc3\xa4")]


def test_a_response_of_parts_is_the_constructors() -> None:
    """Every attribute is there, in the same order and with the same value, as httpx sets it."""
    stream = httpx.ByteStream(b"body")
    extensions = {"http_version": b"HTTP/1.1", "reason_phrase": b"Fine"}

    made = make_response(299, LINES, stream, extensions)
    stock = httpx.Response(
        299, headers=[(raw, value) for raw, _, value in LINES], stream=stream, extensions=dict(extensions)
    )

    assert list(vars(made)) == list(vars(stock))
    for name, value in vars(stock).items():
        if name != "headers":
            assert getattr(made, name) == value, name
    assert vars(made.headers) == vars(stock.headers)
    assert made.read() == b"body"
    assert (made.num_bytes_downloaded, made.is_closed, made.is_stream_consumed) == (4, True, True)


def test_responses_of_parts_share_nothing() -> None:
    """What one response is given later, such as its history, is not another's."""
    first, second = (make_response(200, list(LINES), httpx.ByteStream(b""), {}) for _ in range(2))

    first.history.append(second)
    first.headers["x"] = "y"

    assert second.history == []
    assert "x" not in second.headers


@pytest.mark.parametrize("content", [b"body", bytearray(b"body"), memoryview(b"body")])
def test_a_body_at_hand_is_bytes(content: bytes) -> None:
    """A `ByteStream` takes whatever it is given; what is sent and kept of it are bytes."""
    assert content_of(httpx.ByteStream(content)) == b"body"
    assert type(content_of(httpx.ByteStream(content))) is bytes
    assert content_of(iter([content])) is None
