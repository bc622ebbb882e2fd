"""What the library itself costs: the plumbing of layers, peers and imports, never their times."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.costs import imports, lanes, layers, peers
from benchmarks.figures.recorder import spread
from benchmarks.reports import output


def run(command: Any, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(arguments)))


@pytest.mark.parametrize(("command", "group"), [(layers, "layers"), (peers, "peers, streamed body")])
def test_a_command_writes_what_it_tells(
    command: Any, group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick run prints its tables, and its JSON tells the same again."""
    path = tmp_path / "result.json"
    assert run(command, "--quick", "--json", str(path)) == 0
    printed = capsys.readouterr().out
    assert group.capitalize() in printed
    result = output.read(path)
    assert result.quick
    assert {cost.kind for cost in result.costs if cost.group == group} == {"sync", "async"}
    assert output.sections(result)[-1].title in printed


def test_layers_are_told_from_top_to_bottom() -> None:
    """The layers of a call are those of the stack, the outermost first."""
    order = layers.order()
    assert order[0] == "Observe"
    assert order[-1] == "OneTry"
    assert order.index("Retry") < order.index("Breaker") < order.index("Balance")


def test_a_layer_costs_what_the_one_below_does_not() -> None:
    """Each layer's own time is its inclusive time less that of the layer below."""

    def lane(name: str, seconds: float) -> lanes.Lane:
        return lanes.Lane("sync", "layers", name, lambda _: 0.0, [seconds])

    measured = [lane(layers.TOTAL, 10.0), lane(layers.NULL, 1.0), lane("Upper", 7.0), lane("Lower", 3.0)]
    measured.append(lane(layers.JOINED, 7.3))
    measured += [lanes.Lane("async", one.group, one.name, one.batch, one.seconds) for one in measured]
    costs = [cost for cost in layers.evaluate(measured, ["Upper", "Lower"]) if cost.kind == "sync"]
    assert [(cost.name, cost.over and cost.over.median) for cost in costs] == [
        (layers.OUTSIDE, 3.0), ("Upper", 4.0), ("Lower", 2.0), (layers.JOINED, 6.3),
    ]  # fmt: skip
    *shares, joined = [cost.share.median for cost in costs if cost.share]
    assert sum(shares) == pytest.approx(1)
    assert joined == pytest.approx(0.7)


def test_only_the_chosen_layer_is_timed() -> None:
    """A stopwatch around one layer leaves all others as they are."""
    with asyncio.Runner() as loop:
        found = layers.Loops(loop).lanes(["Retry"])
        assert {(lane.kind, lane.name) for lane in found} == {
            (kind, name) for kind in ("sync", "async") for name in (layers.TOTAL, layers.JOINED, layers.NULL, "Retry")
        }
        assert all(lane.batch(3) > 0 for lane in found)


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is missing is no error; the result says that it was not there."""
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert {entry.name for entry in peers.entries() if entry.absent} >= {"tenacity", "hyx, retry", "aiobreaker"}
    with asyncio.Runner() as loop:
        assert {lane.name for lane in peers.lanes(loop)} == {
            peers.NULL, peers.OURS, "httpx's client itself", "ambassador_lib's client",
        }  # fmt: skip


def test_a_peer_costs_what_the_null_transport_does_not() -> None:
    """Peers are compared by what they take beyond the transport, in terms of ours."""

    def lane(name: str, *seconds: float) -> lanes.Lane:
        return lanes.Lane("sync", "g", name, lambda _: 0.0, list(seconds))

    costs = peers.evaluate([lane(peers.NULL, 1, 1), lane(peers.OURS, 5, 5), lane("other", 3, 3)])
    other = next(cost for cost in costs if cost.name == "other")
    assert other.over is not None
    assert other.share is not None
    assert (other.over.median, other.share.median) == (2, 0.5)


def test_every_lane_runs_as_often_as_the_others() -> None:
    """Rounds are complete: nobody is left out of one."""
    made: list[int] = []

    def batch(calls: int) -> float:
        made.append(calls)
        return 0.1

    measured = [lanes.Lane("sync", "g", str(number), batch) for number in range(3)]
    lanes.measure(measured, rounds=4, calls=100)
    assert all(len(lane.seconds) == 4 for lane in measured)
    assert made.count(100) == 12


def test_a_spread_is_of_the_rounds() -> None:
    """The median, with the outer deciles; of a single round it is that round."""
    assert spread([3.0]) == spread([3.0, 3.0])
    assert spread(list(range(11))).median == 5
    assert (spread(list(range(11))).low, spread(list(range(11))).high) == (1, 9)


@pytest.mark.slow
def test_imports_are_compared_with_httpx(tmp_path: Path) -> None:
    """Each statement has run in an interpreter of its own, and nothing heavy came with the bare package."""
    path = tmp_path / "imports.json"
    assert run(imports, "--quick", "--json", str(path), "--python", sys.executable) == 0
    costs = {cost.name: cost for cost in output.read(path).costs}
    assert set(costs) == set(imports.STATEMENTS)
    assert all(cost.share is not None for cost in costs.values())


def test_a_tracer_spoils_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tracer provider set up, nothing is measured: the figures are for telemetry off."""
    monkeypatch.setattr(layers.trace, "get_tracer_provider", object)
    with pytest.raises(SystemExit, match="telemetry off"):
        layers.refuse_a_tracer()
