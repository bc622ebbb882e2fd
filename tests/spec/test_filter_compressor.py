"""The filter compressor (semantics 9.8), through the public transports."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import pytest

from ambassador_lib import PolicyError
from ambassador_lib.policy import Policy

from .documents import ROUTER, TYPE, Document
from .harness import Body, Spec, bootstrap

TEXT = b"hello " * 20
ACCEPT = {"accept-encoding": "gzip"}
NAME = "envoy.filters.http.compressor"
KIND = f"{TYPE}.filters.http.compressor.v3.Compressor"


def encoding(library: str = "gzip.compressor.v3.Gzip", **fields: Any) -> Document:
    chosen = {"name": "library", "typed_config": {"@type": f"{TYPE}.compression.{library}"}}
    config = {"@type": KIND, "compressor_library": chosen, **fields}
    return bootstrap(manager={"http_filters": [{"name": NAME, "typed_config": config}, ROUTER]})


def text(*chunks: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/plain", **headers}, stream=Body(*chunks))


def test_a_response_is_encoded_piece_by_piece(spec: Spec) -> None:
    """Each piece can be decoded when it is there; the application finds encoding and vary."""
    spec.given(encoding(), text(TEXT, TEXT, etag='"e"'))
    response = spec.get(stream=True, headers=ACCEPT)
    assert ("gzip", "Accept-Encoding") == (response.headers["content-encoding"], response.headers["vary"])
    assert "etag" not in response.headers
    decoder = zlib.decompressobj(31)
    assert [TEXT, TEXT, b""] == [decoder.decompress(chunk) for chunk in spec.chunks(response)]
    assert decoder.eof
    spec.assert_nothing_held()


def test_httpx_decodes_what_is_encoded_here(spec: Spec) -> None:
    """An application that reads its response the usual way sees the text."""
    assert TEXT == spec.given(encoding(), text(TEXT)).get(headers=ACCEPT).content


def test_a_response_that_is_left_early_is_closed(spec: Spec) -> None:
    """What lies below is closed with it."""
    answer = text(TEXT)
    body = answer.stream
    spec.given(encoding(), answer)
    spec.close(spec.get(stream=True, headers=ACCEPT))
    assert isinstance(body, Body)
    assert body.closed
    spec.assert_nothing_held()


def test_who_does_not_accept_it_gets_the_text(spec: Spec) -> None:
    """And is told that others may get something else."""
    response = spec.given(encoding(), text(TEXT)).get(headers={"accept-encoding": "br"})
    assert (None, "Accept-Encoding") == (response.headers.get("content-encoding"), response.headers["vary"])


def test_a_request_is_encoded(spec: Spec) -> None:
    """Where the policy says so; otherwise it is left alone."""
    asked = {"headers": {"content-type": "text/plain"}, "content": TEXT}
    spec.given(encoding(request_direction_config={}), 200).post(**asked)
    assert "gzip" == spec.upstream.seen[0].headers["content-encoding"]
    assert TEXT == gzip.decompress(spec.upstream.bodies[0])
    spec.given(encoding(), 200).post(**asked)
    assert TEXT == spec.upstream.bodies[-1]


@pytest.mark.parametrize("library", ["brotli.compressor.v3.Brotli", "zstd.compressor.v3.Zstd"])
def test_other_libraries_are_refused(library: str) -> None:
    """brotli and zstd need more than Python has."""
    with pytest.raises(PolicyError, match=r"of (brotli|zstd) is not supported: only of gzip"):
        Policy.parse(encoding(library))


def test_a_library_that_only_decodes_is_refused() -> None:
    """As Envoy does."""
    with pytest.raises(PolicyError, match="encodes nothing"):
        Policy.parse(encoding("gzip.decompressor.v3.Gzip"))
