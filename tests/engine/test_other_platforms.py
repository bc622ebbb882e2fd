"""Where a technique of the engine's does not hold it takes a plain way, and behaves as everywhere else.

By what a platform can do, and not by its name; what it cannot do is taken away here. `proactor` is Windows' kind of
loop; `no poll` is what threads have there.
"""

from __future__ import annotations

import asyncio
import inspect
import select
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ambassador_lib import AsyncClient
from ambassador_lib.engine import readiness, socket_options
from ambassador_lib.engine.asyncio_dial import watches_sockets
from ambassador_lib.engine.asyncio_wire import BufferedWire, PlainWire
from ambassador_lib.errors import UpstreamConnectError
from ambassador_lib.policy.model import TcpKeepalive
from tests.client.documents import BASE, cluster, policy

from . import (
    test_alternates,
    test_complete,
    test_connect_timeouts,
    test_http1,
    test_phases,
    test_readiness,
    test_wires,
    test_wires_tls,
)  # fmt: skip
from .conftest import Mode
from .proactor import ProactorLoop
from .servers import answering, serving
from .wires import Wires, echo

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are waited for by `select`, which tells of no end behind unread bytes."""
    monkeypatch.delattr(select, "poll")
    monkeypatch.setattr(selectors, "DefaultSelector", selectors.SelectSelector)
    monkeypatch.setattr(readiness, "HUNG_UP", 0)


@pytest.fixture(params=["proactor", "no poll"])
def platform(request: pytest.FixtureRequest) -> str:
    if request.param == "proactor":
        return "proactor"
    request.getfixturevalue("no_poll")
    return "sync"


@pytest.fixture
def mode(platform: str) -> Mode:
    return Mode(platform)


@pytest.fixture
def wires(platform: str) -> Wires:
    return Wires(platform)


def _of(module: ModuleType) -> dict[str, Any]:
    """The tests of a module that are told what to run on."""
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    return {name: test for name, test in tests.items() if {"mode", "wires"} & set(inspect.signature(test).parameters)}


for _module in (test_alternates, test_complete, test_http1, test_phases, test_wires, test_wires_tls):
    globals().update(_of(_module))
# The proactor tells two turns late that a write is done: an answer may come before, and costs the connection then.
del globals()["test_a_connection_is_kept_after_a_large_upload"]
# Without word of an end behind unread bytes there is nothing to wait for.
del globals()["test_an_end_in_good_order"]


@pytest.mark.parametrize(
    "test",
    [
        test_connect_timeouts.test_a_connection_that_the_system_has_made_is_in_time,
        test_connect_timeouts.test_the_first_address_may_fail_on_a_busy_loop,
        test_connect_timeouts.test_a_refusal_on_a_busy_loop_is_a_refusal,
        test_connect_timeouts.test_many_at_once_are_connected,
    ],
)
def test_a_busy_proactor_is_not_charged_to_the_upstream(test: Callable[[Wires], None]) -> None:
    """It begins to connect, and asks the socket what has become of that, as the others do."""
    test(Wires("proactor"))


@pytest.mark.usefixtures("no_poll")
def test_one_thread_looks_where_another_waits_without_poll() -> None:
    """`select` lets any number of threads look at a socket."""
    test_readiness.test_one_thread_looks_where_another_waits()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "proactor"])
def test_loops_that_watch_sockets_receive_into_one_buffer(loop: str) -> None:
    """All others, and those nobody knows, have bytes brought."""
    wires = Wires(loop)
    with serving(echo) as server:

        async def main() -> None:
            wire = await wires.dial(server)
            assert isinstance(wire, PlainWire if loop == "proactor" else BufferedWire)
            await wire.close()

        wires.run(main)
    assert not watches_sockets(object())  # type: ignore[arg-type]


def test_a_client_works_on_a_proactor() -> None:
    """Through the whole stack, with a kept connection; nothing is left to the loop to complain of."""
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with serving(answering(OK)) as server:
            async with AsyncClient(policy=policy(clusters=[cluster("up", server.port)])) as client:
                for _ in range(3):
                    response = await client.get(f"{BASE}/")
                    assert response.content == b"ok"
            assert server.connections == 1

    with asyncio.Runner(loop_factory=ProactorLoop) as runner:
        runner.run(main())
    assert complaints == []


@pytest.mark.parametrize("name", ["sync", "asyncio", "uvloop", "trio", "proactor"])
def test_without_unix_sockets_none_is_connected_to(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is a failure to connect, and no error of the library's."""
    mode = Mode(name)

    async def main(engine: Any) -> None:
        exchange = mode.exchange(0, address=str(tmp_path / "up.sock"))
        with monkeypatch.context() as patch:
            patch.delattr(socket, "AF_UNIX")
            with pytest.raises(UpstreamConnectError) as failure:
                await mode.send(engine, exchange)
        assert failure.value.reply.details.endswith("_connect_error:_Address_family_not_supported_by_protocol}")

    mode.run(main)
    assert mode.gauge.opens == 0


@pytest.mark.parametrize("option", ["_IDLE", "_INTERVAL", "_PROBES"])
def test_an_option_that_the_system_does_not_know_is_not_set_in_silence(
    mode: Mode, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Envoy, nothing is connected; keep-alive as the system has it can be had all the same."""
    monkeypatch.setattr(socket_options, option, None)
    probed = TcpKeepalive(keepalive_probes=1, keepalive_time=1, keepalive_interval=1)
    with serving(answering(OK)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamConnectError) as failure:
                await mode.send(engine, mode.exchange(server, tcp_keepalive=probed))
            assert "Protocol_not_available" in failure.value.reply.details
            response = await mode.send(engine, mode.exchange(server, tcp_keepalive=TcpKeepalive()))
            assert await mode.read(response) == b"ok"

        mode.run(main)


POOR = """
import asyncio, os, random, select, selectors, socket, sys

for module, names in {
    os: "register_at_fork O_PATH O_NONBLOCK O_DIRECTORY sched_getaffinity",
    select: "poll epoll POLLIN POLLOUT POLLRDHUP PIPE_BUF",
    socket: "TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL TCP_QUICKACK",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
selectors.DefaultSelector = selectors.SelectSelector
sys.modules["fcntl"] = sys.modules["uvloop"] = None
sys.platform = "other"

from ambassador_lib import AsyncClient, Client
from tests.client.documents import BASE, cluster, policy
from tests.engine.proactor import ProactorLoop

document = policy(clusters=[cluster("up", int(sys.argv[1]))])

async def main():
    async with AsyncClient(policy=document, trust_env=False) as client:
        assert (await client.get(BASE + "/")).text == "ok"

with Client(policy=document, trust_env=False) as client:
    assert client.get(BASE + "/").text == "ok"
asyncio.run(main())
with asyncio.Runner(loop_factory=ProactorLoop) as runner:
    runner.run(main())
print("served")
"""


def test_a_platform_without_any_of_it_is_served() -> None:
    """No poll, no fork to hear of, no options of sockets: clients of both kinds can be imported and used."""
    with serving(answering(OK)) as server:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", POOR, str(server.port)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert run.stdout == "served\n", run.stderr[-2000:]
