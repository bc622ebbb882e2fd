"""Ratios of rounds, what they say together, and histograms."""

from __future__ import annotations

import dataclasses
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.figures.histograms import Histogram
from benchmarks.figures.ratios import FIGURES, per_round, ratios
from benchmarks.figures.results import Latency, Load, Measured, Round

LOAD = Load(loop="closed", callers=1)
SECONDS = st.floats(1e-6, 10)


def latency(value: float) -> Latency:
    return Latency(count=1, mean=value, p50=value, p90=value, p99=value, p999=value, max=value)


def rounds_of(values: list[float], *, sidecar: float | None = None) -> tuple[Round, ...]:
    return tuple(
        Round(
            number=number, calls=1, errors=0, unsent=0, seconds=1.0, rate=1 / value, latency=latency(value),
            cpu_client=value, cpu_upstream=None, cpu_sidecar=sidecar,
        )
        for number, value in enumerate(values, 1)
    )  # fmt: skip


def measured(name: str, values: list[float], *, sidecar: float | None = None, load: Load = LOAD) -> Measured:
    return Measured(
        name=name, kind="sync", placement="same-core", load=load, rounds=rounds_of(values, sidecar=sidecar),
        latency=latency(1.0), errors={},
    )  # fmt: skip


@given(st.lists(SECONDS, min_size=3, max_size=20), st.floats(0.1, 10).filter(lambda one: abs(one - 1) > 0.01))
def test_a_constant_factor_is_found_whatever_the_machine_did(values: list[float], factor: float) -> None:
    """Rounds may differ by orders of magnitude: what both share in each goes out."""
    found = {
        one.figure: one for one in ratios([measured("a", [v * factor for v in values]), measured("b", values)], ["b"])
    }
    assert set(found) == set(FIGURES)
    told = found["p50"]
    assert told.spread.median == pytest.approx(factor)
    assert told.spread.low == pytest.approx(factor)
    assert told.spread.high == pytest.approx(factor)
    assert told.verdict == ("more" if factor > 1 else "less")
    assert found["rate"].spread.median == pytest.approx(1 / factor)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=20))
def test_rounds_that_disagree_are_no_difference(pairs: list[tuple[float, float]]) -> None:
    """A verdict needs at least three rounds, and a spread on one side of 1."""
    mine, theirs = measured("a", [one for one, _ in pairs]), measured("b", [one for _, one in pairs])
    told = next(one for one in ratios([mine, theirs], ["b"]) if one.figure == "p50")
    # Deciles are interpolated: equal rounds may differ in the last bit.
    assert told.spread.low * (1 - 1e-12) <= told.spread.median <= told.spread.high * (1 + 1e-12)
    assert told.spread.median == pytest.approx(statistics.median(one / other for one, other in pairs))
    agree = len(pairs) >= 3 and not told.spread.low <= 1 <= told.spread.high
    assert (told.verdict != "no difference") == agree


def test_only_rounds_that_both_ran_are_compared() -> None:
    """A round in which one crashed or got no answer tells nothing of the two."""
    mine, theirs = measured("a", [1.0, 2.0, 3.0]), measured("b", [1.0, 1.0])
    assert per_round(mine, theirs, "p50") == [1.0, 2.0]
    empty = dataclasses.replace(theirs.rounds[0], latency=Histogram().latency())
    assert per_round(mine, dataclasses.replace(theirs, rounds=(empty, theirs.rounds[1])), "p50") == [2.0]


def test_a_sidecar_is_part_of_what_a_call_takes() -> None:
    """`cpu_all` is the client and its sidecar together, `cpu_client` the client alone."""
    mine, theirs = measured("a", [1.0] * 3, sidecar=2.0), measured("b", [1.0] * 3)
    assert per_round(mine, theirs, "cpu_all") == [3.0] * 3
    assert per_round(mine, theirs, "cpu_client") == [1.0] * 3


def test_only_the_same_situation_is_compared() -> None:
    """Loads are not mixed."""
    other = measured("b", [1.0] * 3, load=Load(loop="closed", callers=8))
    assert list(ratios([measured("a", [1.0] * 3), other], ["b"])) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1000, 60_000_000_000), min_size=1, max_size=200), st.integers(0, 200))
def test_histograms_agree_with_sorted_values(values: list[int], cut: int) -> None:
    """Percentiles are right to three digits, also of two histograms put together."""
    whole = Histogram(values[:cut])
    whole.add(Histogram(values[cut:]))
    told = whole.latency(whole=True)
    ordered = sorted(values)
    assert told.count == len(values)
    for share, value in ((0.5, told.p50), (0.9, told.p90), (0.99, told.p99), (1.0, told.max)):
        rank = max(1, int(share * len(values) + 0.5))  # the nearest, as HDR histograms have it
        assert value == pytest.approx(ordered[rank - 1] / 1e9, rel=2e-3)
    seconds = [one for _, one in told.curve]
    assert seconds == sorted(seconds)
    assert told.curve[-1] == (100.0, pytest.approx(told.max))
    assert told.histogram


def test_an_empty_histogram_is_all_zero() -> None:
    """Where nobody answered there is no latency, and no division by zero."""
    assert Histogram().latency(whole=True) == latency(0.0).__class__(
        count=0, mean=0.0, p50=0.0, p90=0.0, p99=0.0, p999=0.0, max=0.0
    )
