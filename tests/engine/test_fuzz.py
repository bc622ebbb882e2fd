"""Responses of every kind mean to us what they mean to h11, but where Envoy takes them otherwise (see `fuzz`)."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from .fuzz import check, check_cuts, check_loop, check_seed
from .oracle import DIFFERENCES, Difference, by_engine, by_h11, explained
from .responses import Script, script

SEEDS = 1500
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CORPUS = [
    HEAD + b"content-length: 5\r\n\r\nhello",
    HEAD + b"content-length: 0\r\n\r\n",
    HEAD + b"content-length: 3\r\n\r\nhello",
    HEAD + b"content-length: 9\r\n\r\nhello",
    HEAD + b"Content-Length: 005\r\nX-Empty:\r\nX-Space: \t a \t\r\n\r\nhello",
    HEAD + b"content-length: 5\r\nconnection: close\r\n\r\nhello",
    HEAD + b"content-length: 5\r\nconnection: x, Close\r\n\r\nhello",
    HEAD + b"\r\nuntil the end",
    HEAD + b"connection: keep-alive\r\n\r\n",
    HEAD + b"transfer-encoding: gzip\r\n\r\nx",
    HEAD + b"transfer-encoding: identity\r\n\r\nx",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"1\r\nh\r\n4;name=value\r\nello\r\n0\r\n\r\n",
    CHUNKED + b'3;a="quoted"\r\nhel\r\n2;b\r\nlo\r\n000\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n',
    CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n",
    CHUNKED + b"5\nhello\n0\n\n",
    CHUNKED + b"g\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"fffffffffffffffff\r\nhello",
    CHUNKED + b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\nmore",
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 x\r\n\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\nmore",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 caf\xe9\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 599 x\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 99 x\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 1000 x\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1\t200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/11.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"\r\n" + HEAD + b"content-length: 0\r\n\r\n",
    b"\n\n" + HEAD + b"content-length: 0\r\n\r\n",
    HEAD.replace(b"\r\n", b"\n") + b"content-length: 2\n\nok",
    HEAD + b"x-fold: a\r\n  b\r\n\tc\r\ncontent-length: 2\r\n\r\nok",
    HEAD + b" x-first: 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"x-before : 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"content-length : 2\r\n\r\nok",
    HEAD + b"x y: 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b": 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"nothing\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"x: a\rb\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"x: a\x00b\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"\xc3\xa9: 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"content-length: +2\r\n\r\nok",
    HEAD + b"content-length: -2\r\n\r\nok",
    HEAD + b"content-length: 0x2\r\n\r\nok",
    HEAD + b"content-length: 2 2\r\n\r\nok",
    HEAD + b"content-length:\r\n\r\nok",
    HEAD + b"content-length: 99999999999999999999\r\n\r\nok",
    HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding:\r\n\r\n0\r\n\r\n",
    b"",
    b"\x16\x03\x01",
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP",
    b"HTTP/1.1 200 O",
    HEAD + b"x: 1",
]
"""What is worth to be read however it is cut."""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("ends", [True, False], ids=["end", "silence"])
def test_known_responses_mean_what_they_mean_to_h11(method: str, ends: bool) -> None:
    """The same status, headers, body, end, and decision on the connection, or both refuse."""
    findings = [check(Script(method, (data,), ends)) for data in CORPUS]
    assert not list(filter(None, findings)), "\n".join(map(str, filter(None, findings)))


@pytest.mark.parametrize("ends", [True, False], ids=["end", "silence"])
def test_it_does_not_matter_where_bytes_are_cut(ends: bool) -> None:
    """Cut at each place, and into single bytes, a response stays the same."""
    for data in CORPUS:
        places = range(1, len(data))
        finding = check_cuts(Script("GET", (data,), ends), iter([tuple(places), *((place,) for place in places)]))
        assert finding is None, finding


def test_two_cuts_anywhere() -> None:
    """A short response in three pieces of every size."""
    data = CHUNKED[:15] + b"\r\ntransfer-encoding:chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n"
    finding = check_cuts(Script("GET", (data,), ends=False), combinations(range(1, len(data)), 2))
    assert finding is None, finding


def test_responses_by_dice() -> None:
    """Generated and mutated responses; the seeds are always the same (`python -m tests.engine.fuzz` rolls on)."""
    for seed in range(SEEDS):
        finding = check_seed(seed)
        assert finding is None, f"seed {seed}: {finding}"


def test_event_loops_read_the_same() -> None:
    """The engine of event loops takes responses as the blocking one does."""
    scripts = [Script("GET", (data,), ends=True) for data in CORPUS]
    scripts += [script(Random(seed)) for seed in range(200)]
    for one in scripts:
        finding = check_loop(one)
        assert finding is None, finding


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason[:40])
def test_differences_are_as_they_are_listed(difference: Difference) -> None:
    """Each entry of the list is shown by its example, and explains no more than it must."""
    ours, theirs = by_engine(difference.example), by_h11(difference.example)
    assert ours.outcome == difference.ours
    assert not ours.agrees(theirs)
    assert explained(difference.example, ours, theirs) is difference
    assert explained(difference.example, theirs, theirs) is not difference
