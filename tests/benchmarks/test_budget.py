"""The planning figures: their arithmetic, and the breaker that they are played through."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.budget import fan_out, show
from benchmarks.budget.breaker import ORDERS, Scenario, play
from benchmarks.budget.distributions import NOTHING, Measured, Service, combined, percentile
from benchmarks.budget.fan_out import IDEAL, Plan, outlooks
from benchmarks.budget.fleet import Fleet, Unit, bill

seconds = st.floats(0, 10, allow_nan=False)


@st.composite
def distributions(draw: st.DrawFn) -> Measured:
    thousandths = draw(st.lists(st.integers(0, 100_000), min_size=1, max_size=6, unique=True).map(sorted))
    percentiles = [number / 1000 for number in thousandths]
    return Measured(list(zip(percentiles, sorted(draw(seconds) for _ in percentiles), strict=True)))


@given(distributions(), st.floats(0, 100), st.floats(0, 100))
def test_a_curve_rises(measured: Measured, one: float, other: float) -> None:
    """A higher percentile is never a shorter time, and none leaves what was measured."""
    low, high = sorted((one, other))
    assert measured.at(low) <= measured.at(high) + 1e-12
    assert measured.curve[0][1] - 1e-12 <= measured.at(one) <= measured.curve[-1][1] + 1e-12


@given(distributions())
def test_a_curve_goes_through_its_points(measured: Measured) -> None:
    """What was measured is what is given back."""
    for at, value in measured.curve:
        assert measured.at(at) == pytest.approx(value)


@given(st.lists(seconds, min_size=1, max_size=50).map(sorted), st.floats(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(ordered: list[float], at: float) -> None:
    """At least so many percent of the values are at most the percentile."""
    value = percentile(ordered, at)
    assert sum(one <= value for one in ordered) >= len(ordered) * at / 100 - 1e-9


@given(distributions(), st.integers(0, 6), st.integers(0, 2**32))
def test_in_parallel_is_never_slower_than_in_sequence(measured: Measured, calls: int, seed: int) -> None:
    """The same draws joined by `max` stay below those joined by `sum`, and one call is the same either way."""
    kept = {
        join: combined(measured.draw, random.Random(seed), calls=calls, samples=20, join=join) for join in (sum, max)
    }
    assert all(most <= total + 1e-12 for most, total in zip(kept[max], kept[sum], strict=True))
    if calls <= 1:
        assert kept[max] == pytest.approx(kept[sum])


@given(distributions(), st.integers(1, 8))
def test_the_slowest_of_many_is_known_exactly(measured: Measured, calls: int) -> None:
    """The median of the slowest of n calls lies where one call has the percentile 100 * 0.5 ** (1/n)."""
    drawn = combined(measured.draw, random.Random(1), calls=calls, samples=1500, join=max)
    exact = 100 * 0.5 ** (1 / calls)
    around = 100 * (0.5 - 0.08) ** (1 / calls), 100 * (0.5 + 0.08) ** (1 / calls)
    assert measured.at(around[0]) - 1e-9 <= percentile(drawn, 50) <= measured.at(around[1]) + 1e-9
    assert around[0] < exact < around[1]


def test_the_textbook_case() -> None:
    """20 ms of own work, five services of 50 ms, 2 ms of network: 280 ms in sequence, 72 ms in parallel."""
    found = {(one.name, one.how): one for one in outlooks(Plan(samples=100), {"x": Measured([(50.0, 0.010)])})}
    assert found[IDEAL, "in sequence"].p99 == pytest.approx(0.280)
    assert found[IDEAL, "in parallel"].p99 == pytest.approx(0.072)
    assert found["x", "in sequence"].p99 == pytest.approx(0.330)
    assert found["x", "in sequence"].added == pytest.approx(0.050)
    assert found["x", "in parallel"].added == pytest.approx(0.010)
    assert found["x", "in sequence"].room == 2  # 170 ms are left, a call takes 62
    assert all(one.holds for one in found.values())


def test_an_sla_that_does_not_hold() -> None:
    """A p99 beyond the SLA is said to break it, and there is room for no call more."""
    [*_, parallel] = outlooks(Plan(sla=0.05, samples=10), {})
    assert not parallel.holds
    assert parallel.room == 0


def test_every_stack_meets_the_same_dice() -> None:
    """Two stacks of the same distribution get the same totals: a difference is never the draw's."""
    one = Measured([(0.0, 0.001), (100.0, 0.050)])
    found = outlooks(Plan(service=Service(0.05, 0.2), samples=200), {"a": one, "b": one})
    assert len({(each.how, each.p50, each.p99, each.p999) for each in found if each.name in "ab"}) == 2


def test_a_service_has_the_percentiles_it_is_given() -> None:
    """A log-normal service is at its p50 and p99, within what the draw allows."""
    drawn = combined(Service(0.05, 0.2).draw, random.Random(fan_out.SEED), calls=1, samples=20_000, join=sum)
    assert percentile(drawn, 50) == pytest.approx(0.05, rel=0.05)
    assert percentile(drawn, 99) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("p50", "p99"), [(-1.0, None), (0.05, 0.01), (0.0, 0.1)])
def test_a_service_that_cannot_be(p50: float, p99: float | None) -> None:
    """A p99 below the median, or a time below zero, is refused."""
    with pytest.raises(ValueError, match="p99"):
        Service(p50, p99)


def test_nothing_takes_no_time() -> None:
    """The ideal stack adds nothing to anything; a distribution of nothing at all is none."""
    assert NOTHING.draw(random.Random(1)) == 0.0
    with pytest.raises(ValueError, match="percentile"):
        Measured([])


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0, 1e4))
def test_a_fleet_pays_for_each_pod(pods: int, connections: int, rate: float) -> None:
    """Twice the pods cost twice; connections cost memory, calls cost cores."""
    unit = Unit("x", 60e6, 50e3, 80e-6, beside=True)
    once = bill(Fleet(pods, connections, rate), unit)
    twice = bill(Fleet(2 * pods, connections, rate), unit)
    assert twice.memory == pytest.approx(2 * once.memory)
    assert twice.cores == pytest.approx(2 * once.cores)
    assert once.memory == pytest.approx(pods * (60e6 + 50e3 * connections))
    assert once.cores == pytest.approx(pods * rate * 80e-6)


def test_a_library_is_in_every_process_and_a_sidecar_once_a_pod() -> None:
    """More processes share the sidecar's memory, and multiply the library's; calls stay as many."""
    fleet = Fleet(pods=1, connections=0, rate=1.0, processes=4)
    assert bill(fleet, Unit("x", 60e6, None, 1e-6, beside=True)).memory == 60e6
    assert bill(fleet, Unit("x", 3e6, None, 1e-6, beside=False)).memory == 12e6
    assert bill(fleet, Unit("x", 3e6, None, 1e-6, beside=False)).cores == 1e-6


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from(ORDERS))
def test_a_scenario_has_its_failures(failures: int, more: int, order: object) -> None:
    """So many calls, so many failures, in whatever order."""
    outcomes = Scenario(failures, failures + more, order).outcomes()  # type: ignore[arg-type]
    assert (len(outcomes), sum(outcomes)) == (failures + more, failures)


@given(st.integers(1, 40), st.integers(0, 40))
def test_failures_spread_evenly_never_run_ahead(failures: int, more: int) -> None:
    """Evenly means: at no point is the share of failures above that of the whole."""
    calls = failures + more
    seen = 0
    for number, failed in enumerate(Scenario(failures, calls).outcomes(), 1):
        seen += failed
        assert seen * calls <= failures * number


@pytest.mark.parametrize(
    ("failures", "calls", "opened_after"),
    [(10, 15, None), (30, 50, 20), (49, 100, None), (50, 100, 20), (20, 20, 20), (0, 30, None)],
)
def test_when_the_circuit_opens(failures: int, calls: int, opened_after: int | None) -> None:
    """50 % of at least 20, through the real client: too few calls or too few failures leave it closed."""
    if (failures, calls) == (50, 100):
        verdict = play(Scenario(failures, calls, "failures first"))
    else:
        verdict = play(Scenario(failures, calls))
    assert verdict.opened_after == opened_after
    assert verdict.sent == (opened_after or calls)


def test_the_order_of_failures_matters() -> None:
    """49 of 100 keep it closed spread evenly, and open it after 20 when they come first."""
    assert play(Scenario(49, 100, "failures first")).opened_after == 20
    section = show.breaker_section(0.5, 20)
    assert section.tables[0].rows[2][1:] == ["stays closed", "opens after 20", "stays closed"]


def test_more_failures_than_calls() -> None:
    """A scenario that cannot be is refused."""
    with pytest.raises(ValueError, match="as many failures"):
        Scenario(3, 2)
