"""Stages, and the proof that nothing stays behind on any of them."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator

import pytest

import ambassador_lib.surroundings
from ambassador_lib.testing.virtual_time import VirtualTime

from .scene import MODES, Scene

LIMIT = 30.0
"""Real seconds that no scenario takes, on a busy machine either."""


@pytest.fixture
def virtual_time() -> Iterator[VirtualTime]:
    """A world, and afterwards none of it: no thread, no patch, no descriptor, no surroundings."""
    asyncio.run(asyncio.sleep(0))  # what the first loop of a process brings stays for good
    threads = set(threading.enumerate())
    patched = asyncio.BaseEventLoop._run_once, time.sleep
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    began = time.monotonic()
    with VirtualTime(seed=7) as world:
        yield world
    assert time.monotonic() - began < LIMIT
    assert (asyncio.BaseEventLoop._run_once, time.sleep) == patched
    while set(threading.enumerate()) - threads and time.monotonic() - began < LIMIT:
        time.sleep(0.001)  # a worker of an executor may have been told to end, and not have got to it
    assert set(threading.enumerate()) - threads == set()
    assert ambassador_lib.surroundings.installed is None
    if descriptors and len(os.listdir("/proc/self/fd")) > descriptors:
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.fixture(params=MODES)
def scene(request: pytest.FixtureRequest, virtual_time: VirtualTime) -> Scene:
    """A stage."""
    return Scene(request.param, virtual_time)
