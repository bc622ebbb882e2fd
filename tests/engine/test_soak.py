"""A short soak (`python -m tests.engine.soak` is the long one): real sockets, every ending, nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .soak import KINDS, Soak, upstream
from .soak_server import FAULTS

REQUESTS = 600

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with upstream() as port:
        yield port


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_goes_astray_and_nothing_is_left(kind: str, port: int) -> None:
    """Each call gets its own answer or its own failure; memory, descriptors, threads and tasks are given back."""
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    outcome = Soak(kind, REQUESTS).run(port)
    outcome.check()
    assert sum(outcome.counts.values()) > REQUESTS * 0.95
    assert outcome.counts["whole"] > REQUESTS * 0.8
    assert {"UpstreamResetError", "left"} <= set(outcome.counts), f"{FAULTS} show nothing: {outcome.counts}"
