"""Scale: policies of any size, turns that are answered, curves that are named."""

from __future__ import annotations

import argparse
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import httpx
import pytest

from ambassador_lib import AmbassadorTransport
from benchmarks.costs.null import NullTransport
from benchmarks.figures.about import about_now
from benchmarks.figures.results import Run
from benchmarks.reports import output
from benchmarks.reports import scale as told
from benchmarks.scale import command, loops, measure, through_envoy
from benchmarks.scale.axes import AXES, Axis
from benchmarks.scale.documents import DOCUMENTS, urls
from benchmarks.world.errors import WorldError

from .test_world import HAS_ENVOY, needs_envoy


@pytest.mark.parametrize("axis", DOCUMENTS)
@pytest.mark.parametrize("count", [1, 2, 300])
def test_a_policy_of_any_size_leads_to_the_same_cluster(axis: str, count: int) -> None:
    """However many there are, the call takes the way through all layers to the cluster that is measured."""
    with AmbassadorTransport(DOCUMENTS[axis](count), inner=NullTransport(streamed=True)) as transport:
        response = transport.handle_request(httpx.Request("GET", urls()[0]))
        response.read()
    assert response.status_code == 200
    assert response.extensions["ambassador"].cluster == "billing"


def test_a_policy_has_the_size_it_is_asked_for() -> None:
    """So many endpoints, routes and clusters, all of them different."""
    resources = DOCUMENTS["endpoints"](600)["static_resources"]
    [group] = resources["clusters"][0]["load_assignment"]["endpoints"]
    assert len({str(endpoint) for endpoint in group["lb_endpoints"]}) == 600
    resources = DOCUMENTS["clusters"](50)["static_resources"]
    assert len({cluster["name"] for cluster in resources["clusters"]}) == 50
    manager = DOCUMENTS["routes"](50)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    assert len(manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]) == 50


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = 503 if self.path == "/bad" else 200
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_turn_over_the_network(kind: str, url: str) -> None:
    """All callers call until the time is over, and the figures are of their calls."""
    figures = loops.closed({"kind": kind, "policy": None}, {"url": url, "callers": 3, "seconds": 0.05})
    assert set(figures) == {"p50", "p99", "rate", "cpu_client", "failed"}
    assert figures["failed"] == 0
    assert 0 < figures["p50"] <= figures["p99"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_that_fail_are_no_latencies(kind: str, url: str) -> None:
    """A turn in which nothing succeeds has no figures."""
    with pytest.raises(SystemExit, match="not one of"):
        loops.closed({"kind": kind, "policy": None}, {"url": f"{url}/bad", "callers": 1, "seconds": 0.02})


def test_a_worker_that_ends_is_noticed() -> None:
    """A process that cannot do what it is asked is a `WorldError`, and nothing waits for it."""
    with ExitStack() as stack, pytest.raises(WorldError, match="ended by itself"):
        measure.Worker({"what": "null", "axis": "no such axis", "x": 1, "compiled": ""}, stack)


def test_a_worker_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not answer in time is a `WorldError`."""
    monkeypatch.setattr(measure, "LIMIT", 0.0)
    with ExitStack() as stack, pytest.raises(WorldError, match="not answered"):
        measure.Worker({"what": "null", "axis": "routes", "x": 1, "compiled": ""}, stack)


class _Refusing:
    """A client that refuses at once, as one does whose circuit is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def test_refusals_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that fail without waiting do not keep the turn from ending."""
    answers = iter([httpx.Response(200, request=httpx.Request("GET", "http://x"))])

    class Refusing(_Refusing):
        async def get(self, url: str) -> httpx.Response:
            for answer in answers:
                return answer
            raise httpx.ConnectError("no")

    monkeypatch.setattr(loops, "_made", lambda *_: Refusing())
    with pytest.raises(SystemExit, match="not one of"):
        loops.closed({"kind": "async", "policy": None}, {"url": "x", "callers": 2, "seconds": 0.05})


class _Fixed(measure.Worker):
    def __init__(self, figures: dict[str, float]) -> None:
        self.setting_up = {"build": 1.0}
        self._figures = figures

    def ask(self, question: object) -> dict[str, float]:
        return self._figures


def test_rounds_become_curves() -> None:
    """Everybody has as many turns as there are rounds, the first one not counted; growth is named by figure."""
    axis = Axis("endpoints", "", (1, 10, 100), (), "sync", ("cpu_client", "build", "rate"), "null")
    places = [
        measure.Place("x", x, _Fixed({"cpu_client": float(x), "rate": 1.0, "failed": float(x == 10)}), {})
        for x in axis.x
    ]
    steps: list[None] = []
    measure.rounds(places, 4, lambda: steps.append(None))
    assert len(steps) == 15
    assert all(len(place.figures) == 4 for place in places)
    [curve] = measure.curves(axis, places)
    assert [point.figures["cpu_client"].median for point in curve.points] == [1, 10, 100]
    assert curve.growth == {"cpu_client": "linear", "build": "constant"}
    assert measure.failed("endpoints", places) == ["x, 10 endpoints: 4 calls failed"]


def test_axes_have_enough_places_for_a_name() -> None:
    """Each axis, in a quick run too, has the three places that a growth needs, in rising order."""
    for axis in AXES:
        for places in (axis.x, axis.quick):
            assert len(places) >= 3
            assert list(places) == sorted(set(places))


@pytest.mark.slow
def test_the_command_tells_of_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run over one axis prints tables with the growth's name, and its JSON tells the same, Envoy's included."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    path = tmp_path / "scale.json"
    assert command.run(parser.parse_args(["--quick", "--only", "routes", "--json", str(path)])) == 0
    assert "growth" in capsys.readouterr().out
    curves = {curve.name: curve for curve in output.read(path).curves}
    assert set(curves) == set(measure.libraries()) | ({through_envoy.NAME} if HAS_ENVOY else set())
    for curve in curves.values():
        assert [point.x for point in curve.points] == [1, 10, 100]
    for point in curves[through_envoy.NAME].points if HAS_ENVOY else ():
        assert set(point.figures) == {"build", "memory", "cpu_sidecar"}
        assert all(figure.median > 0 for figure in point.figures.values())


@needs_envoy
def test_envoy_has_the_endpoints_that_are_asked_for(tmp_path: Path) -> None:
    """Endpoints stay as many and as different as they are; nothing is called there."""
    with ExitStack() as stack:
        worker = through_envoy.EnvoyWorker("endpoints", 20, tmp_path, stack)
        assert worker.ask({"calls": 5}) == {}
        assert worker.setting_up["memory"] > 0
    document = json.loads((tmp_path / "endpoints-20.json").read_text())
    (group,) = document["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    assert len({json.dumps(one) for one in group["lb_endpoints"]}) == 20


def test_new_urls_are_new() -> None:
    """No URL is asked for twice, in the warm-up neither."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        figures = loops.new_urls(client, (f"http://x/?page={number}" for number in itertools.count()), 40)
    assert len(asked) == len(set(asked)) == 44
    assert figures["cpu_client"] > 0


class _Hosts(httpx.BaseTransport):
    """Answers as from one host after the other; the first call to one takes longer."""

    def __init__(self, count: int) -> None:
        self.calls = 0
        self._count = count

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.calls < self._count:
            busy = sum(range(100_000))
            assert busy
        host = f"host-{self.calls % self._count}" if self.calls % 2 else "host-0"
        self.calls += 1
        report = SimpleNamespace(attempts=[SimpleNamespace(endpoint=host)])
        return httpx.Response(200, extensions={"ambassador": report})


def test_every_host_is_used_before_calls_are_timed() -> None:
    """Calls go on until the last one had its first, whose cost beyond others is told."""
    transport = _Hosts(5)
    with httpx.Client(transport=transport) as client:
        figures = loops.use_every_host(client, itertools.repeat("http://x/"), 5)
    assert transport.calls == 10
    assert figures["first_use"] > 0


def test_one_host_has_no_first_use_to_tell_of() -> None:
    """What a route makes with its first call would be taken for it."""
    with httpx.Client(transport=_Hosts(1)) as client:
        assert loops.use_every_host(client, itertools.repeat("http://x/"), 1) == {}


def test_hosts_that_are_never_used_end_the_run() -> None:
    """What cannot be measured as it is meant is not measured otherwise."""
    with httpx.Client(transport=_Hosts(2)) as client, pytest.raises(SystemExit, match="1 of 3 hosts"):
        loops.use_every_host(client, itertools.repeat("http://x/"), 3)


def test_the_first_use_of_a_host_is_told_apart() -> None:
    """Of each library the figure where there are most hosts, as a line of its own."""
    axis = Axis("everything", "", (1, 10, 100), (), "sync", ("cpu_client",), "null")
    workers = [_Fixed({"cpu_client": 1.0}) for _ in axis.x]
    for worker, first in zip(workers[1:], (2e-6, 3e-6), strict=True):
        worker.setting_up["first_use"] = first
    places = [measure.Place("x", x, worker, {}) for x, worker in zip(axis.x, workers, strict=True)]
    (found,) = measure.first_uses(places)
    assert (found.of, found.value.median) == ("x", 3e-6)
    measured = Run(subject="scale", about=about_now(), seconds=0.0, quick=True, singles=(found,))
    (section,) = told.sections(measured)
    assert section.tables[0].rows == [["x", "3.00"]]
