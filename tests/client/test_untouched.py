"""A change of a class is noticed at once, wherever among its bases it happens, and however often."""

from __future__ import annotations

import sys
import threading
from typing import Any

import httpx
import pytest
from httpx._client import BaseClient

from ambassador_lib import AsyncClient, Client
from ambassador_lib._httpx.untouched import Untouched

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python code does not see the flag any more")


class Base:
    def step(self) -> int:
        return 1


class Beside:
    def other(self) -> int:
        return 2


class Kind(Base):
    _untouched: Untouched


class Checked:
    """Counts how often somebody really looks."""

    def __init__(self) -> None:
        self.looked = 0
        self.written = (Base.step, Beside.other)

    def __call__(self) -> bool:
        self.looked += 1
        return (Kind.step, Beside.other) == self.written


@pytest.fixture
def checked() -> Checked:
    return Checked()


@pytest.fixture
def untouched(checked: Checked) -> Untouched:
    return Untouched(Kind, (Beside,), checked)


def test_nobody_looks_as_long_as_nothing_changes(untouched: Untouched, checked: Checked) -> None:
    """One look serves any number of calls."""
    assert all(untouched.holds(Kind) for _ in range(1000))
    assert checked.looked == 1


@pytest.mark.parametrize(("owner", "name"), [(Kind, "step"), (Base, "step"), (Beside, "other")])
def test_a_change_counts_at_once(
    untouched: Untouched, monkeypatch: pytest.MonkeyPatch, owner: type[Any], name: str
) -> None:
    """As long as a method is replaced, in the class, in a base or beside it, and not a moment longer."""
    for _ in range(3):
        assert untouched.holds(Kind)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *_: None)
            assert not untouched.holds(Kind)
            assert not untouched.holds(Kind)
        assert untouched.holds(Kind)


def test_a_change_that_does_not_matter_costs_one_look(
    untouched: Untouched, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is done to the class, it is looked at once more."""
    assert untouched.holds(Kind)
    monkeypatch.setattr(Base, "extra", 1, raising=False)
    assert untouched.holds(Kind)
    assert untouched.holds(Kind)
    assert checked.looked == 2


def test_what_stays_changed_is_not_looked_at_each_time(
    untouched: Untouched, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrumentation that stays costs one look, too."""
    monkeypatch.setattr(Base, "step", lambda _: 3)
    assert not any(untouched.holds(Kind) for _ in range(1000))
    assert checked.looked == 1


def test_a_class_of_somebody_elses_is_not_known(untouched: Untouched) -> None:
    """What derives from the class may override anything."""
    assert not untouched.holds(type("Derived", (Kind,), {}))


def test_who_looks_into_all_subclasses_hides_no_change(untouched: Untouched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up in every class there is, by a debugger say, between a change and the next call makes no difference."""
    assert untouched.holds(Kind)
    monkeypatch.setattr(Base, "step", lambda _: 3)
    assert {subclass.step for subclass in Kind.__subclasses__()} == {Base.step}
    assert not untouched.holds(Kind)


def test_nobody_is_told_what_is_being_found_out() -> None:
    """Who comes while another thread looks is told nothing, and what that finds counts from then on."""
    looking, go_on = threading.Event(), threading.Event()

    def look() -> bool:
        looking.set()
        return go_on.wait(30)

    untouched = Untouched(Kind, (), look)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(untouched.holds(Kind)))
    thread.start()
    assert looking.wait(30)
    assert not untouched.holds(Kind)
    go_on.set()
    thread.join(30)
    assert answers == [True]
    assert untouched.holds(Kind)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (httpx.Response, "read"),
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
        (BaseClient, "_merge_url"),
    ],
)
def test_a_patch_of_httpx_counts(monkeypatch: pytest.MonkeyPatch, kind: Any, owner: Any, name: str) -> None:
    """Both clients are as written, but for patches of what they pass, also of classes beside them."""
    assert kind._untouched.holds(kind)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda *_: None)
        assert not kind._untouched.holds(kind)
    assert kind._untouched.holds(kind)
