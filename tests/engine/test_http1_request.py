"""The bytes of a request: lines that were written before are not judged again, and say the same."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.call import Header
from ambassador_lib.engine import http1_request
from ambassador_lib.engine.base import Destination
from ambassador_lib.engine.http1_request import KEPT_LINES, KEPT_VALUES, LONGEST_KEPT, RequestWriter, _start

from .exchanges import exchange_of


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process does."""
    monkeypatch.setattr(http1_request, "_lines", {})
    monkeypatch.setattr(http1_request, "_harmless", {})


def written(*headers: Header, body: bytes | None = b"", proper_case: bool = False) -> bytes:
    """Return a head's lines behind the host's, without the blank one."""
    destination = Destination("c", "127.0.0.1", 80, proper_case=proper_case)
    exchange = exchange_of(destination, headers=list(headers))
    start, _, lines = RequestWriter(exchange, body).head.partition(b": app.test\r\n")
    assert start == b"GET /x?y=1 HTTP/1.1\r\n" + (b"Host" if proper_case else b"host")
    assert lines.endswith(b"\r\n")
    return lines[:-2].removesuffix(b"\r\n")


NAMES = st.sampled_from([b"x-a", b"x-b", b"Content-Length", b"connection", b"host", b"x a", b"", b"transfer-encoding"])
VALUES = st.one_of(st.sampled_from([b"", b"1", b"1, 1", b"2", b"chunked", b"close"]), st.binary(max_size=3))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_what_is_known_is_written_as_it_was_at_first(headers: list[Header]) -> None:
    """A request is the same, or refused the same way, however often its headers have been sent before."""

    def told() -> bytes | str:
        try:
            return written(*headers)
        except httpx.LocalProtocolError as error:
            return str(error)

    http1_request._lines.clear()  # begin as a new process does
    http1_request._harmless.clear()
    assert told() == told() == told()


@pytest.mark.usefixtures("nothing_known")
@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"a\x00b", b"\x00", b"a\x0bb", b"a\x0cb", b" a", b"a\t", b"\n"])
def test_a_value_that_nobody_may_send_is_refused_behind_those_that_were_sent(value: bytes) -> None:
    """A legal line says nothing of another value of the same name, and what was refused stays so."""
    assert written((b"x-a", b"1")) == b"x-a: 1"
    for _ in range(2):
        with pytest.raises(httpx.LocalProtocolError, match="Illegal header value"):
            written((b"x-a", value))
    assert written((b"x-a", b"a \tb\xff\x01")) == b"x-a: a \tb\xff\x01"


@pytest.mark.usefixtures("nothing_known")
def test_a_length_said_twice_is_sent_once() -> None:
    """Lengths that agree are one announcement; others are refused, and so is a second coding."""
    assert written((b"content-length", b"3"), (b"x-a", b"1"), (b"content-length", b"3, 3")) == (
        b"content-length: 3\r\nx-a: 1"
    )
    with pytest.raises(httpx.LocalProtocolError, match="conflicting"):
        written((b"content-length", b"3"), (b"content-length", b"4"))
    assert written((b"Transfer-Encoding", b"Chunked"), body=None) == b"Transfer-Encoding: chunked"
    with pytest.raises(httpx.LocalProtocolError, match="multiple"):
        written((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked"))


@pytest.mark.usefixtures("nothing_known")
def test_lines_that_are_kept_are_bounded() -> None:
    """Values that are new with each request, long ones, and too many names leave nothing behind."""
    for number in range(10 * KEPT_VALUES):
        assert written((b"x-request-id", b"%d" % number)) == b"x-request-id: %d" % number
    assert len(http1_request._lines) == KEPT_VALUES
    written((b"x-long", bytes(b"a" * LONGEST_KEPT)))
    assert len(http1_request._lines) == KEPT_VALUES
    for number in range(4 * KEPT_LINES):
        written((b"x-%d" % (number // 2), b"1"))
    assert len(http1_request._lines) == KEPT_LINES


def test_long_targets_are_not_kept() -> None:
    """A request line is kept with its target, of which an upstream may take many kilobytes."""
    _start.cache_clear()
    for length, kept in ((LONGEST_KEPT, 0), (LONGEST_KEPT - 1, 1)):
        target = "/".ljust(length, "a")
        exchange = exchange_of(target=target, authority="a")
        assert RequestWriter(exchange, b"").head.startswith(b"GET " + target.encode() + b" HTTP/1.1\r\n")
        assert _start.cache_info().currsize == kept


@pytest.mark.usefixtures("nothing_known")
def test_secrets_are_not_kept() -> None:
    """What proves who is calling is nobody's to remember, however its name is written."""
    for name in (
        b"authorization", b"Authorization", b"cookie", b"proxy-authorization",
        b"x-api-key", b"X-Auth-Token", b"x-amz-security-token", b"private-token", b"x-vault-token",
    ):  # fmt: skip
        for _ in range(2):
            assert written((name, b"secret")) == name + b": secret"
    assert not http1_request._lines


@pytest.mark.usefixtures("nothing_known")
def test_proper_case_is_a_line_of_its_own() -> None:
    """The same header goes out as the destination has its names written."""
    for _ in range(2):
        assert written((b"x-a", b"1")) == b"x-a: 1"
        assert written((b"x-a", b"1"), proper_case=True) == b"X-A: 1"
