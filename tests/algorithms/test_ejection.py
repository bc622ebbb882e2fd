from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms import ejection


def ejectable(hosts: int, percent: int, *, always_one: bool = False) -> int:
    ejected = 0
    while ejected < hosts and ejection.may_eject(ejected, hosts, percent, always_one=always_one):
        ejected += 1
    return ejected


@pytest.mark.parametrize(
    ("hosts", "percent", "expected"), [(9, 10, 0), (10, 10, 1), (2, 50, 1), (4, 75, 3), (4, 70, 2), (1, 100, 1)]
)
def test_the_ejection_gate(hosts: int, percent: int, expected: int) -> None:
    """Semantics 5: the host to be ejected counts towards `max_ejection_percent`."""
    assert ejectable(hosts, percent) == expected


def test_one_host_may_always_be_ejected_if_asked_for() -> None:
    """`always_eject_one_host` lifts the gate for the first host alone."""
    assert ejectable(2, 10, always_one=True) == 1


@given(st.integers(1, 100), st.integers(0, 150))
def test_the_share_of_ejected_hosts_is_never_exceeded(hosts: int, percent: int) -> None:
    """However many hosts fail, no more than `max_ejection_percent` of them are ejected, and no fewer than fit."""
    ejected = ejectable(hosts, percent)
    assert ejected * 100 <= percent * hosts
    assert ejected == hosts or (ejected + 1) * 100 > percent * hosts


def test_ejections_grow_up_to_the_maximum() -> None:
    """Semantics 5: base 0.5 s, at most 1.2 s: 0.5, 1.0, 1.2, 1.2."""
    times, multiplier = [], 0
    for _ in range(5):
        multiplier = ejection.next_multiplier(multiplier, 0.5, 1.2)
        times.append(ejection.ejection_time(0.5, multiplier, 1.2))
    assert times == [0.5, 1.0, 1.2, 1.2, 1.2]


@given(st.floats(0.001, 100), st.floats(0.001, 1000), st.integers(0, 50))
def test_an_ejection_is_never_longer_than_the_maximum(base: float, maximum: float, ejections: int) -> None:
    """The multiplier stops growing once the maximum is reached."""
    multiplier = 0
    for _ in range(ejections):
        multiplier = ejection.next_multiplier(multiplier, base, maximum)
    assert ejection.ejection_time(base, multiplier, maximum) <= maximum
    assert multiplier * base < maximum + 2 * base


def test_the_success_rate_threshold() -> None:
    """Semantics 5: of five hosts one at 0 %: mean 80, deviation 40, threshold 4 with factor 1900."""
    assert ejection.success_rate_threshold([100, 100, 100, 100, 0], 1900) == pytest.approx(4)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(0, 5000))
def test_not_everybody_is_an_outlier(rates: list[float], factor: int) -> None:
    """At least one host is not below the threshold."""
    assert max(rates) >= ejection.success_rate_threshold(rates, factor) - 1e-9
