"""The filter decompressor (semantics 9.8), through the public transports."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest

from ambassador_lib import PolicyError
from ambassador_lib.policy import Policy

from .documents import ROUTER, TYPE, Document
from .harness import Body, Spec, bootstrap

PACKED = gzip.compress(b"hello")


def decoding(library: str = "gzip.decompressor.v3.Gzip", **fields: Any) -> Document:
    chosen = {"name": "library", "typed_config": {"@type": f"{TYPE}.compression.{library}"}}
    kind = f"{TYPE}.filters.http.decompressor.v3.Decompressor"
    config = {"@type": kind, "decompressor_library": chosen, **fields}
    one = {"name": "envoy.filters.http.decompressor", "typed_config": config}
    return bootstrap(manager={"http_filters": [one, ROUTER]})


def packed(*chunks: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-encoding": "gzip", **headers}, stream=Body(*chunks))


def test_a_response_is_decoded(spec: Spec) -> None:
    """The application finds no encoding any more, and the raw body is the text."""
    spec.given(decoding(), packed(PACKED[:5], PACKED[5:], etag="e"))
    response = spec.get(stream=True)
    assert (None, "e") == (response.headers.get("content-encoding"), response.headers["etag"])
    assert b"hello" == b"".join(spec.chunks(response))
    spec.assert_nothing_held()


def test_a_response_that_is_left_early_is_closed(spec: Spec) -> None:
    """What lies below is closed with it."""
    answer = packed(PACKED)
    body = answer.stream
    spec.given(decoding(), answer)
    spec.close(spec.get(stream=True))
    assert isinstance(body, Body)
    assert body.closed
    spec.assert_nothing_held()


def test_a_request_is_decoded(spec: Spec) -> None:
    """What the upstream gets is the text, with no word of an encoding."""
    spec.given(decoding()).post(content=PACKED, headers={"content-encoding": "gzip"})
    assert [b"hello"] == spec.upstream.bodies
    assert "content-encoding" not in spec.upstream.seen[0].headers


def test_other_libraries_are_refused() -> None:
    """brotli and zstd need more than Python has."""
    with pytest.raises(PolicyError, match="brotli is not supported: only of gzip"):
        Policy.parse(decoding("brotli.decompressor.v3.Brotli"))
