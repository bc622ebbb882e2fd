"""TCP keep-alive as the policy has it, read back from the sockets of real connections."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from ambassador_lib import AsyncClient, Client
from ambassador_lib.discovery.probes import destination
from ambassador_lib.discovery.static import static_hosts
from ambassador_lib.errors import UpstreamConnectError
from ambassador_lib.policy import Policy
from ambassador_lib.policy.model import HealthCheck, TcpKeepalive
from tests.spec.documents import cluster, listener, policy, vhost

from .conftest import Mode
from .servers import answering, serving
from .test_alternates import refused_port
from .test_tls import server_context, settings
from .wires import Wires

IDLE = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", 0))
OPTIONS = {
    "keepalive_probes": socket.TCP_KEEPCNT,
    "keepalive_time": IDLE,
    "keepalive_interval": socket.TCP_KEEPINTVL,
}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="which values are taken is the system's matter")


def of_the_system() -> dict[str, int]:
    """What a socket has without being told."""
    with socket.socket() as sock:
        return {name: sock.getsockopt(socket.IPPROTO_TCP, option) for name, option in OPTIONS.items()}


def read_back(sock: socket.socket) -> tuple[bool, dict[str, int]]:
    """Whether idle times are probed, and how."""
    values = {name: sock.getsockopt(socket.IPPROTO_TCP, option) for name, option in OPTIONS.items()}
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), values


def dialled(wires: Wires, port: int, **changes: Any) -> tuple[bool, dict[str, int]]:
    """Connect, and tell what the socket has."""
    found = []

    async def main() -> None:
        wire = await wires.dial(port, **changes)
        found.append(read_back(wire.get_extra_info("socket")))
        assert wire.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await wire.close()

    wires.run(main)
    return found[0]


def test_sockets_are_not_probed_unless_told_so(wires: Wires) -> None:
    """As the system has it, and as Envoy leaves it."""
    with serving(answering(OK)) as server:
        assert dialled(wires, server.port) == (False, of_the_system())


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"keepalive_probes": 3},
        {"keepalive_time": 40},
        {"keepalive_interval": 7},
        {"keepalive_probes": 3, "keepalive_time": 40, "keepalive_interval": 7},
    ],
    ids=lambda members: "+".join(members) or "none",
)
def test_each_member_is_set_and_the_others_are_the_systems(wires: Wires, members: Mapping[str, int]) -> None:
    """A message of which nothing is set turns keep-alive on."""
    with serving(answering(OK)) as server:
        found = dialled(wires, server.port, tcp_keepalive=TcpKeepalive(**members))
    assert found == (True, {**of_the_system(), **members})


def test_sockets_under_tls_have_them_too(wires: Wires, authority: trustme.CA, authority_file: Path) -> None:
    """The options are the socket's, whatever is spoken on it."""
    keepalive = TcpKeepalive(keepalive_time=40)
    with serving(answering(OK), server_context(authority.issue_cert("upstream.test"))) as server:
        tls: dict[str, Any] = {"tls": settings(authority_file), "sni": "upstream.test"}
        assert dialled(wires, server.port, tcp_keepalive=keepalive, **tls)[1]["keepalive_time"] == 40


def test_each_of_several_addresses_has_them(wires: Wires) -> None:
    """Whichever of them is connected to."""
    with serving(answering(OK)) as server:
        found = dialled(
            wires,
            refused_port(),
            alternates=(("127.0.0.1", server.port),),
            tcp_keepalive=TcpKeepalive(keepalive_probes=3),
        )
    assert found == (True, {**of_the_system(), "keepalive_probes": 3})


@on_linux
@pytest.mark.parametrize("alternates", [(), (("127.0.0.1", 1),)], ids=["one", "several"])
@pytest.mark.parametrize("value", [0, 2**31, 2**32 - 1])
def test_what_the_system_does_not_take_is_a_connect_failure(mode: Mode, value: int, alternates: Any) -> None:
    """As in Envoy, whose connection is closed then; nothing is left of it."""
    before = len(os.listdir("/proc/self/fd"))
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            keepalive = TcpKeepalive(keepalive_time=value)
            with pytest.raises(UpstreamConnectError):
                await mode.send(engine, mode.exchange(server, tcp_keepalive=keepalive, alternates=alternates))

        mode.run(main)
    assert mode.gauge.opens == 0
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cluster_has_them_from_its_policy(kind: str) -> None:
    """`upstream_connection_options` is what its connections have, those of health checks included."""
    options = {"tcp_keepalive": {"keepalive_time": 40, "keepalive_probes": 3}}
    told = {**of_the_system(), "keepalive_time": 40, "keepalive_probes": 3}
    with serving(answering(OK)) as server:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": server.port}}
        groups = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        document = policy(
            listener(vhost("app.test")), clusters=[cluster(groups=groups, upstream_connection_options=options)]
        )
        (read,) = Policy.parse(document).clusters
        check = HealthCheck(timeout=1.0, interval=1.0, unhealthy_threshold=1, healthy_threshold=1)
        (host,) = static_hosts(read)
        assert destination(check, host, read, None).tcp_keepalive == TcpKeepalive(keepalive_time=40, keepalive_probes=3)
        if kind == "sync":
            with Client(policy=document) as client:
                response = client.get("http://app.test/")
                assert read_back(response.extensions["network_stream"].get_extra_info("socket")) == (True, told)
            return

        async def main() -> None:
            async with AsyncClient(policy=document) as client:
                response = await client.get("http://app.test/")
                assert read_back(response.extensions["network_stream"].get_extra_info("socket")) == (True, told)

        asyncio.run(main())
