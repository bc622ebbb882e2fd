"""Endpoints from a file: health checks of what comes and goes, and what a cluster with them is ready for."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
from typing import Any

import pytest

from ambassador_lib.discovery import start
from ambassador_lib.discovery.files import POLL_INTERVAL, FileWatcher
from ambassador_lib.discovery.subscription import Subscriptions
from ambassador_lib.policy.model.cluster import Cluster, EdsClusterConfig, HealthCheck
from ambassador_lib.policy.model.core import ConfigSource, PathConfigSource
from ambassador_lib.upstream.host import HealthFlag


class Endpoints:
    """One cluster's file."""

    def __init__(self, kit: Any, path: pathlib.Path) -> None:
        self.kit = kit
        self.path = path
        self.files = FileWatcher(clock=kit.clock, random=kit.random, control=kit.control)
        self.subscriptions = Subscriptions(self.files)

    def put(self, *addresses: str, **fields: Any) -> None:
        endpoints = [
            {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}}}
            for address in addresses
        ]
        assignment = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "c",
            "endpoints": [{"lb_endpoints": endpoints}],
            **fields,
        }
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps({"resources": [assignment]}))
        beside.replace(self.path)

    def start(self, **fields: Any) -> Any:
        source = ConfigSource(path_config_source=PathConfigSource(path=os.fspath(self.path)))
        cluster = Cluster(name="c", type="EDS", eds_cluster_config=EdsClusterConfig(eds_config=source), **fields)
        upstream = self.kit.upstream(cluster)
        discovery = start(
            upstream,
            clock=self.kit.clock,
            random=self.kit.random,
            control=self.kit.control,
            subscriptions=self.subscriptions,
        )
        return upstream, discovery


@pytest.fixture
def endpoints(kit: Any, tmp_path: pathlib.Path) -> Endpoints:
    return Endpoints(kit, tmp_path / "eds.json")


def test_the_file_is_followed_by_the_clock(kit: Any, endpoints: Endpoints) -> None:
    """Hosts are there before `start` returns, and change within two looks; stopping ends the watch."""

    async def scenario() -> None:
        endpoints.put("10.0.0.1")
        upstream, discovery = endpoints.start()
        assert discovery.gate.is_open
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        endpoints.put("10.0.0.2", "10.0.0.3")
        await kit.clock.advance(2 * POLL_INTERVAL)
        assert kit.keys(upstream) == ["10.0.0.2:80", "10.0.0.3:80"]
        assert kit.control.names == ["files"]
        discovery.stop(0)
        await kit.control.close()
        endpoints.put("10.0.0.4")
        endpoints.files.look()
        assert kit.keys(upstream) == ["10.0.0.2:80", "10.0.0.3:80"]

    asyncio.run(scenario())


def test_the_endpoints_policy_follows_the_file(kit: Any, endpoints: Endpoints) -> None:
    """An overprovisioning factor of an update counts from then on."""

    async def scenario() -> None:
        endpoints.put("10.0.0.1")
        upstream, _ = endpoints.start()
        assert upstream.overprovisioning == 140
        endpoints.put("10.0.0.1", policy={"overprovisioning_factor": 100})
        await kit.clock.advance(2 * POLL_INTERVAL)
        assert upstream.overprovisioning == 100
        assert upstream.assignment.policy.overprovisioning_factor == 100
        await kit.control.close()

    asyncio.run(scenario())


def test_endpoints_grow_stale_where_they_say_so(kit: Any, endpoints: Endpoints) -> None:
    """Without an update for `endpoint_stale_after` they are dropped; saying the same again starts the time anew."""

    async def scenario() -> None:
        stale = {"endpoint_stale_after": "10s"}
        endpoints.put("10.0.0.1", policy=stale)
        upstream, discovery = endpoints.start()
        await kit.clock.advance(8)
        endpoints.put("10.0.0.1", policy=stale)
        await kit.clock.advance(8)
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        await kit.clock.advance(3)
        assert kit.keys(upstream) == []
        endpoints.put("10.0.0.1", policy=stale)
        await kit.clock.advance(1)
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        endpoints.put("10.0.0.2")
        await kit.clock.advance(20)
        assert kit.keys(upstream) == ["10.0.0.2:80"]
        discovery.stop(0)
        await kit.control.close()
        assert all(task.done() for task in kit.control.tasks)

    asyncio.run(scenario())


def test_new_endpoints_are_checked_before_they_serve(kit: Any, endpoints: Endpoints) -> None:
    """With active health checks the gate waits for the first ones, and a host that comes later is out until its own."""
    check = HealthCheck(
        timeout=1.0,
        interval=1.0,
        initial_jitter=100.0,
        healthy_threshold=1,
        unhealthy_threshold=1,
        tcp_health_check=HealthCheck.TcpHealthCheck(),
    )

    async def scenario() -> None:
        kit.random.value = 0.5  # the first check comes long after the update
        endpoints.put("127.0.0.1")
        upstream, discovery = endpoints.start(health_checks=(check,))
        assert not discovery.gate.is_open
        assert HealthFlag.FAILED_ACTIVE_HC in upstream.hosts[0].flags
        upstream.set_flag(upstream.hosts[0], HealthFlag.FAILED_ACTIVE_HC, False)
        endpoints.put("127.0.0.2")
        await kit.clock.advance(2 * POLL_INTERVAL)
        before, new = sorted(upstream.hosts, key=lambda host: host.key)
        assert before.flags == HealthFlag.PENDING_DYNAMIC_REMOVAL
        assert HealthFlag.FAILED_ACTIVE_HC in new.flags
        await kit.control.close()

    asyncio.run(scenario())
