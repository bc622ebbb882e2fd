"""What watches beside calls in virtual time: files, health checks of every kind; no thread of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.spec import documents
from tests.spec.documents import bootstrap

from .scene import Scene

CHECK = {
    "timeout": "1s",
    "interval": "5s",
    "no_traffic_interval": "5s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
}


async def used(scene: Scene) -> set[int]:
    scene.payment.forget()
    for _ in range(6):
        await scene.get()
    return {seen.endpoint for seen in scene.payment.requests}


@pytest.mark.parametrize(
    "kind",
    [
        {"tcp_health_check": {}},
        {"tcp_health_check": {"send": {"text": "474554"}, "receive": [{"text": "48545450"}]}},
        {"grpc_health_check": {}, **documents.options(protocol="http2_protocol_options")},
        {"http_health_check": {"path": "/", "codec_client_type": "HTTP2"}},
    ],
    ids=["tcp", "tcp-talks", "grpc", "http2"],
)
def test_health_checks_of_every_kind(scene: Scene, kind: dict[str, Any]) -> None:
    """Over the simulated network an endpoint is found down, and up again, by whatever is asked of it."""
    talks = "send" in kind.get("tcp_health_check", {})
    options = {name: kind[name] for name in kind if name.startswith("typed")}
    checks = [{**CHECK, **{name: kind[name] for name in kind if name not in options}}]
    cluster = {"health_checks": checks, "common_lb_config": {"healthy_panic_threshold": {}}, **options}

    async def scenario(scene: Scene) -> None:
        await scene.ready()
        if talks:  # nobody answers to three letters: both are unhealthy
            assert await scene.outcome() == "NoHealthyUpstreamError"
            return
        assert await used(scene) == {0, 1}
        scene.payment.endpoint(0).is_down(for_=30)
        await scene.sleep(12)
        assert await used(scene) == {1}
        await scene.sleep(40)
        assert await used(scene) == {0, 1}

    scene.play(bootstrap(endpoints=2, cluster=cluster), scenario)


def test_a_check_that_takes_too_long_fails(scene: Scene) -> None:
    """A black hole fails the check by its own timeout, in virtual time."""
    cluster = {
        "health_checks": [{**CHECK, "http_health_check": {"path": "/"}}],
        "common_lb_config": {"healthy_panic_threshold": {}},
    }

    async def scenario(scene: Scene) -> None:
        scene.payment.endpoint(1).black_holes(for_=20)
        await scene.ready()
        assert scene.time.elapsed == pytest.approx(1)
        assert await used(scene) == {0}
        await scene.sleep(30)
        assert await used(scene) == {0, 1}

    scene.play(bootstrap(endpoints=2, cluster=cluster), scenario)


def test_files_are_followed(scene: Scene, tmp_path: Path) -> None:
    """A cluster that a file brings changes when another file is moved to its path, a moment of virtual time later."""
    file = tmp_path / "cds.json"

    def write(endpoint: int) -> None:
        cluster = documents.cluster(groups=[{"lb_endpoints": [documents.endpoint(endpoint)]}])
        resource = {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **cluster}
        new = tmp_path / "new.json"
        new.write_text(json.dumps({"resources": [resource]}))
        os.utime(new, (1, 1))
        new.rename(file)

    write(1)
    document = documents.policy(documents.listener(documents.vhost(), config={"validate_clusters": False}), clusters=[])
    document["dynamic_resources"] = {"cds_config": {"path_config_source": {"path": str(file)}}}
    document["node"] = {"id": "i", "cluster": "c"}

    async def scenario(scene: Scene) -> None:
        assert await used(scene) == {0}
        write(3)
        assert await used(scene) == {0}
        await scene.sleep(1)
        assert await used(scene) == {2}

    scene.play(document, scenario)
