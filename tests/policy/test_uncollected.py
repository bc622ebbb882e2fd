"""The collector rests while a policy is read, and runs afterwards as before."""

from __future__ import annotations

import gc
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


def test_two_readers_leave_it_running() -> None:
    """Of two that overlap the first to have begun turns it on again, be it the first to end or not."""
    first, second = uncollected(), uncollected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_policies_are_read_so() -> None:
    """Neither a policy nor a wrong one leaves the collector off."""
    Policy.parse({"static_resources": {}})
    assert gc.isenabled()
    with pytest.raises(PolicyError):
        Policy.parse("clusters: [")
    assert gc.isenabled()
