"""Where httptools cannot be imported, heads are read without it, and nothing else is different."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from ambassador_lib.engine import http1_head, http1_lines
from ambassador_lib.engine.base import Destination
from ambassador_lib.errors import UpstreamResetError

from .responses import script
from .test_fuzz import CORPUS

SEEDS = 4000
ANYWHERE = Destination("c/DEFAULT", "127.0.0.1", 1)
HIDDEN = "import sys; sys.modules['httptools'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
MAIN_TESTS = ["test_http1", "test_hostile", "test_fuzz", "test_complete", "test_phases"]


@pytest.fixture(scope="module")
def without() -> ModuleType:
    """`http1_head` as it is without httptools."""
    assert http1_head.__file__ is not None
    spec = spec_from_file_location(http1_head.__name__, Path(http1_head.__file__).with_name("http1_head.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    with patch.dict(sys.modules, {"httptools": None}):
        spec.loader.exec_module(module)
    assert module.HttpResponseParser is http1_lines.HttpResponseParser
    return module


def read(module: Any, data: bytes) -> tuple[Any, ...] | str:
    """What a head says, or that it is refused."""
    end = data.find(b"\n\r\n") + 3
    try:
        head = module.AnswerHead(data, end)
        head.judge(ANYWHERE)
    except UpstreamResetError:
        return "refused"
    return (
        head.status, head.reason, head.version, head.lines, head.end, head.raw,
        head.keeps_alive, head.length, head.is_chunked,
    )  # fmt: skip


def is_whole(data: bytes) -> bool:
    """Whether a head is in it, as the reader of answers has made sure of."""
    return data.startswith(b"HTTP/") and b"\n\r\n" in data


def test_heads_are_read_as_httptools_reads_them(without: ModuleType) -> None:
    """The same lines and the same judgement, or both refuse: known heads, and generated and mutated ones by dice."""
    heads = [*CORPUS, *(script(Random(seed)).data for seed in range(SEEDS))]
    readings = [(data, read(without, data), read(http1_head, data)) for data in heads if is_whole(data)]
    assert [(data, ours, theirs) for data, ours, theirs in readings if ours != theirs] == []
    refused = sum(ours == "refused" for _, ours, _ in readings)
    assert SEEDS / 10 < refused < len(readings) - SEEDS / 10, "neither all nor nothing is refused"


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 O%cK\r\na: b\r\n\r\n", "HTTP/1.1 200 OK\r\na%cb: c\r\n\r\n", "HTTP/1.1 200 OK\r\na: b%cc\r\n\r\n",
        "HTTP/1.1 200 OK\r\na:%cb\r\n\r\n", "HTTP/1.1 200 OK\r\na: b%c\r\n\r\n", "HTTP/1.1 20%c OK\r\n\r\n",
        "HTTP/1.%c 200 OK\r\n\r\n", "HTTP/1.1%c200 OK\r\n\r\n", "HTTP/1.1 200%cOK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n%c\r\n\r\n",
    ],
)  # fmt: skip
def test_every_byte_in_every_place(without: ModuleType, head: str) -> None:
    """No byte is let through, or refused, that httptools takes otherwise."""
    for byte in range(256):
        data = (head % byte).encode("latin-1")
        assert read(without, data) == read(http1_head, data)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**64, 10**19, 10**20])
def test_lengths_that_64_bits_cannot_hold(without: ModuleType, length: int) -> None:
    """They are refused, and those that are just possible are not."""
    data = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length
    assert (read(without, data) == "refused") is (length >= 2**64)
    assert read(without, data) == read(http1_head, data)


@pytest.mark.parametrize(
    ("lines", "is_refused"),
    [
        ("", True), ("upgrade: a", True), ("connection: upgrade", True), ("upgrade:\r\nconnection: upgrade", True),
        ("upgrade: a\r\nconnection: upgraded", True), ("upgrade: a\r\nconnection: close upgrade", True),
        ("upgrade: a\r\nconnection: keep-alive, Upgrade", False), ("Upgrade: a\r\nconnection: upgrade ,close", False),
        ("connection: upgrade\r\nupgrade: a", False), ("upgrade: a\r\nproxy-connection: upgrade", False),
        ("upgrade: a\r\nconnection: x\r\nconnection: upgrade", False),
    ],
)  # fmt: skip
def test_a_switch_of_protocols_names_one(without: ModuleType, lines: str, is_refused: bool) -> None:
    """101 says `upgrade`, and that its connection does (RFC 9110 7.8); else it is refused, as by httptools."""
    data = "".join(f"{line}\r\n" for line in ("HTTP/1.1 101 Switching", *lines.splitlines(), "")).encode()
    assert (read(without, data) == "refused") is is_refused
    assert read(without, data) == read(http1_head, data)


@pytest.mark.slow
def test_engines_work_without_httptools() -> None:
    """The engine's own tests of HTTP/1.1 hold in a process that cannot import it."""
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in MAIN_TESTS]
    options = ["-q", "-p", "no:cacheprovider", "-k", "not http2 and not trio and not uvloop"]
    run = subprocess.run(
        [sys.executable, "-c", HIDDEN, *options, *files], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    assert " passed" in run.stdout
