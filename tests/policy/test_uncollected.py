"""The collector rests while a policy is read, and runs afterwards as before."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy
from ambassador_lib.policy.uncollected import uncollected


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_rests_and_runs_again() -> None:
    """Inside nothing is collected, whatever happens there."""
    with suppress(ValueError), uncollected():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_off() -> None:
    """An application that does without the collector keeps doing so."""
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_it_rests_until_the_last_reader_has_ended(order: tuple[int, int]) -> None:
    """Of two that overlap the last to end turns it on again, be it the first to have begun or not."""
    readers = uncollected(), uncollected()
    for reader in readers:
        reader.__enter__()
    readers[order[0]].__exit__(None, None, None)
    assert not gc.isenabled()
    readers[order[1]].__exit__(None, None, None)
    assert gc.isenabled()


def test_one_that_begins_while_another_ends_leaves_it_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the collector and turning it off nobody else turns it on: that would be for good."""
    asked, go_on = threading.Event(), threading.Event()

    class Slow:
        """The collector, seen by a thread that is kept from going on after the look."""

        enable, disable = staticmethod(gc.enable), staticmethod(gc.disable)

        @staticmethod
        def isenabled() -> bool:
            found = gc.isenabled()
            if threading.current_thread() is second:
                asked.set()
                go_on.wait(10)
            return found

    def read() -> None:
        with uncollected():
            pass

    second = threading.Thread(target=read)
    monkeypatch.setattr("ambassador_lib.policy.uncollected.gc", Slow)
    with uncollected():
        second.start()
        asked.wait(0.1)  # it does not come to ask while somebody reads
    go_on.set()
    second.join(10)
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_process_forked_meanwhile_collects() -> None:
    """A worker that is forked while another thread reads has nobody who would turn the collector on again."""
    begun, end = threading.Event(), threading.Event()

    def read() -> None:
        with uncollected():
            begun.set()
            end.wait(10)

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os._exit(0 if gc.isenabled() else 1)
    _, status = os.waitpid(child, 0)
    end.set()
    reader.join(10)
    assert status == 0
    assert gc.isenabled()


def test_policies_are_read_so() -> None:
    """Neither a policy nor a wrong one leaves the collector off."""
    Policy.parse({"static_resources": {}})
    assert gc.isenabled()
    with pytest.raises(PolicyError):
        Policy.parse("clusters: [")
    assert gc.isenabled()
