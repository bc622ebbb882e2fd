"""Chaos: a test under generated schedules of faults, shrunk to the smallest that makes it fail."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from ambassador_lib.testing import ScriptError, simulation, strategies
from ambassador_lib.testing.latency import Latency
from ambassador_lib.testing.strategies import Fault, Schedule

from .conftest import Run
from .documents import policy
from .test_plugin import BEGINNING

pytest_plugins = ("pytester",)


def write(text: str) -> None:
    Path("envoy.yaml").write_text(json.dumps(policy("mail")))
    Path("test_it.py").write_text(BEGINNING + textwrap.dedent(text))


# --- strategies ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.schedules())
def test_every_schedule_can_be_said_and_its_code_says_the_same(schedule: Schedule) -> None:
    """What is printed can be pasted."""
    with simulation() as kit:
        one, other = kit.simulated_upstreams("payment"), kit.simulated_upstreams("other")
        schedule.tell(one)
        names = {name: getattr(strategies, name, None) for name in ("uniform", "exponential", "lognormal", "pareto")}
        exec(schedule.code("other"), {**names, "other": other})
        assert [sentence.steps for sentence in one.script] == [sentence.steps for sentence in other.script]
        kit.warns_of_unfired = False


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.faults(longest=0.1, most=2, connections=False))
def test_faults_keep_to_what_they_were_given(fault: Fault) -> None:
    """Short ones for real upstreams, and none of connections where these are not wanted."""
    assert fault.verb not in {"refuses", "is_down", "black_holes"}
    bounds = dict(fault.options)
    assert bounds.get("for_", 0) <= 0.1
    assert bounds.get("times", 1) <= 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.latencies(2.0))
def test_latencies_are_numbers_or_distributions(latency: float | Latency) -> None:
    """Each is one that `is_slow` takes."""
    assert isinstance(latency, Latency) or 0 <= latency <= 2.0


def test_a_schedule_without_faults_says_nothing() -> None:
    """The smallest of all."""
    assert (Schedule().code(), repr(Schedule())) == ("", "Schedule()")
    assert repr(Schedule((Fault("fails", (2,), (("status", 503),)),))) == "upstream.first.fails(2, status=503)"
    with simulation() as kit, pytest.raises(ScriptError):
        kit.simulated_upstreams.payment.first.fails()


# --- the marker ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_smallest_failing_schedule_is_printed_and_fails_again(pytester: pytest.Pytester, run: Run) -> None:
    """A single failure of the right kind is what is left; pasted into the test it does the same."""
    text = """
        {marker}
        def test_it(payment):
            {pasted}
            with Client("envoy.yaml", retry_safety="policy") as client:
                try:
                    client.post(CHARGES, json={{"cents": 1}})
                except httpx.TransportError:
                    pass
            assert_no_duplicate_writes(payment)
    """
    write(text.format(marker="@pytest.mark.chaos(examples=40)", pasted=""))
    result = run("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ambassador_lib: chaos*", "the smallest schedule that makes the test fail*"])
    (code,) = {line.strip() for line in result.outlines if line.strip().startswith("payment.first.")}
    assert code.count(".then.") == 0

    write(text.format(marker="", pasted=code))
    run("-q").assert_outcomes(failed=1)


@pytest.mark.slow
def test_each_run_has_fixtures_of_its_own_and_shares_those_of_the_module(pytester: pytest.Pytester, run: Run) -> None:
    """Fixtures of the test are made and torn down for each schedule, those of its module once."""
    write(
        """
        COUNTS = {"function": 0, "module": 0, "ended": 0, "runs": 0}

        @pytest.fixture(scope="module", autouse=True)
        def of_module():
            COUNTS["module"] += 1
            yield
            assert COUNTS["ended"] == COUNTS["function"] == 6

        @pytest.fixture
        def of_test():
            COUNTS["function"] += 1
            yield
            COUNTS["ended"] += 1

        @pytest.mark.chaos(examples=5)
        def test_it(payment, of_test, request, tmp_path):
            COUNTS["runs"] += 1
            assert list(tmp_path.iterdir()) == []
            (tmp_path / "used").touch()

        @pytest.mark.chaos(examples=2)
        @pytest.mark.skip
        def test_skipped(payment): ...

        @pytest.mark.chaos(examples=2)
        @pytest.mark.xfail(strict=True)
        def test_expected(payment):
            assert False

        def test_afterwards():
            assert COUNTS == {"function": 6, "module": 1, "ended": 6, "runs": 6}
        """
    )
    run("-q").assert_outcomes(passed=2, skipped=1, xfailed=1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_schedules(pytester: pytest.Pytester, run: Run) -> None:
    """Another one gives others; a strategy of one's own is drawn from, for the upstreams that are named."""
    write(
        """
        from ambassador_lib.testing import strategies

        TOLD = {"first": [], "again": [], "other": [], "own": []}

        def told(*upstreams):
            said = [repr(sentence) for upstream in upstreams for sentence in upstream.script]
            return [line for line in said if ".first." in line]

        class TestSeeds:
            @pytest.mark.parametrize("name", ["first"])
            @pytest.mark.chaos(examples=8)
            def test_1(self, simulated_upstream, name):
                TOLD["first"] += told(simulated_upstream)

            @pytest.mark.chaos(examples=8, seed=1)
            def test_2(self, simulated_upstream):
                TOLD["other"] += told(simulated_upstream)

            @pytest.mark.chaos(examples=8, schedules=strategies.schedules(strategies.faults(most=1)), upstreams="b")
            def test_3(self, simulated_upstreams):
                TOLD["own"] += told(simulated_upstreams.a, simulated_upstreams.b)

            def test_4(self, request):
                from pathlib import Path
                assert TOLD["first"] != TOLD["other"]
                assert TOLD["own"] and all(line.startswith("b.first.") for line in TOLD["own"])
                kept = Path("kept")
                if kept.exists():
                    assert kept.read_text() == repr(TOLD)
                kept.write_text(repr(TOLD))
        """
    )
    for _ in range(2):
        run("-q").assert_outcomes(passed=4)


@pytest.mark.slow
def test_wrong_use_is_told(pytester: pytest.Pytester, run: Run) -> None:
    """Arguments that there are not, nothing to disturb, and a test that fails anyway; other tests still run."""
    write(
        """
        from ambassador_lib.testing import strategies

        @pytest.mark.chaos(exampels=5)
        def test_misspelt(payment): ...

        @pytest.mark.chaos(5)
        def test_positional(payment): ...

        @pytest.mark.chaos(examples=0)
        def test_none(payment): ...

        @pytest.mark.chaos
        def test_without_upstreams(): ...

        @pytest.mark.chaos(upstreams="paiment")
        def test_other_upstream(payment): ...

        @pytest.mark.chaos
        def test_fails_anyway(payment):
            assert False

        @pytest.mark.chaos(examples="20")
        def test_text(payment): ...

        @pytest.mark.chaos(schedules=5)
        def test_no_strategy(payment): ...

        @pytest.mark.chaos(upstreams=5)
        def test_no_names(payment): ...

        @pytest.mark.chaos(schedules=strategies.faults())
        def test_faults_only(payment): ...

        @pytest.mark.chaos(schedules=strategies.schedules().filter(lambda _: False))
        def test_no_schedules(payment): ...

        def test_that_comes_afterwards(): ...
        """
    )
    result = run("-q")
    result.assert_outcomes(failed=11, passed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*chaos has no argument 'exampels': did you mean 'examples'?*",
            "*chaos takes keywords only*",
            "*chaos(examples=0) would show nothing*",
            "*chaos has nothing to disturb*",
            "*the test makes no upstream 'paiment': did you mean 'payment'?*",
            "the test fails even without any fault",
            "*chaos(examples='20'): must be a whole number*",
            "*chaos(schedules=5): must be a strategy*",
            "*chaos(upstreams=5): must be a name, or several*",
            "*the strategy gives * no Schedule*",
            "*chaos cannot draw schedules: Unsatisfiable*",
        ]
    )


@pytest.mark.slow
def test_it_works_in_loops_and_with_real_upstreams(pytester: pytest.Pytester, run: Run) -> None:
    """anyio's tests under asyncio and trio; real upstreams with faults that are short."""
    write(
        """
        from ambassador_lib.testing import strategies

        SHORT = strategies.schedules(strategies.faults(longest=0.02, most=1, connections=False), with_pauses=False)

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request, virtual_time):
            return ("trio", {"clock": virtual_time.trio_clock()}) if request.param == "trio" else request.param

        @pytest.mark.anyio
        @pytest.mark.chaos(examples=5)
        async def test_in_a_loop(payment, virtual_time):
            async with AsyncClient("envoy.yaml") as client:
                with assert_total_time_below(6):
                    try:
                        await client.get(CHARGES)
                    except httpx.TransportError:
                        pass

        @pytest.mark.chaos(examples=5, schedules=SHORT)
        def test_really(upstreams, ambassador_policy):
            upstreams.payment.replies(200)
            with Client(ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstreams.payment})) as client:
                try:
                    client.get(CHARGES)
                except httpx.TransportError:
                    pass
        """
    )
    run("-q").assert_outcomes(passed=3)
