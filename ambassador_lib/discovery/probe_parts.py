"""What probes of several kinds need: connections, a check over an engine, names, headers and payloads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import httpx

from ..algorithms.header_format import Operator, parse
from ..algorithms.health import CheckResult
from ..call import Deadline, Header
from ..engine.base import Destination, Engine, Exchange
from ..errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ..policy.model.cluster import Cluster, HealthCheck
from ..policy.model.core import HeaderValueOption
from ..upstream.host import Host

if TYPE_CHECKING:
    from ..engine.wire import Network

USER_AGENT = "Envoy/HC"


class NetworkParts(Protocol):
    """Where probes get connections from."""

    def engine(self) -> Engine:
        """Return an engine that nobody else uses: to close it is to close one probe's connection."""

    def network(self) -> Network:
        """Return what dials below engines."""


class EngineProbe:
    """Asks with a request over an engine, whose one connection it keeps where it may."""

    def __init__(self, target: Destination, parts: NetworkParts, *, reuse: bool) -> None:
        self._target = target
        self._parts = parts
        self._reuse = reuse
        self._engine: Engine | None = None

    async def check(self, deadline: Deadline) -> CheckResult:
        """Ask once and judge the answer."""
        if self._engine is None:
            self._engine = self._parts.engine()
        try:
            response = await self._engine.send(self._exchange(deadline))
            try:
                result = await self._judge(response)
            finally:
                await response.aclose()
        except DeadlineExpired:
            return CheckResult.TIMED_OUT
        except (UpstreamConnectError, UpstreamResetError, httpx.TransportError):
            return CheckResult.UNREACHABLE
        if not self._reuse:
            await self.close()
        return result

    async def close(self) -> None:
        """Drop the connection."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    def _exchange(self, deadline: Deadline) -> Exchange:
        raise NotImplementedError

    async def _judge(self, response: httpx.Response) -> CheckResult:
        raise NotImplementedError


def question(
    target: Destination,
    deadline: Deadline,
    *,
    method: str = "",
    authority: str = "",
    path: str = "",
    headers: list[Header] | None = None,
    body: bytes = b"",
) -> Exchange:
    """Return a check as the engine sees it; without a method only its connection is of interest."""
    scheme = "http" if target.tls is None else "https"
    return Exchange(
        method=method,
        scheme=scheme,
        authority=authority,
        target=path,
        headers=headers or [],
        stream=httpx.ByteStream(body),
        destination=target,
        deadline=deadline,
        on_connected=_nothing,
        url=httpx.URL(scheme=scheme, host="localhost" if target.is_pipe else target.address, port=target.port),
        extensions={},
    )


def _nothing() -> None:
    """Nobody needs to know when a check's connection is there."""


def payload(part: HealthCheck.Payload | None) -> bytes:
    """Return the bytes of a `Payload`; its text is hex. `ValueError` where it is not."""
    if part is None:
        return b""
    return bytes.fromhex(part.text) if part.text is not None else part.binary or b""


def authority_of(host: Host, given: str, cluster: Cluster) -> str:
    """Return what a host is called in checks: its own name for them, else the check's, else the cluster's."""
    override = host.health_check_config.hostname if host.health_check_config is not None else ""
    return override or given or cluster.name


def add_header(headers: dict[str, str], option: HeaderValueOption, host: Host) -> None:
    """Add a header as its option says; of command operators, those about the host render to something."""
    name = option.header.key.lower()
    value = "".join(
        _rendered(part, host) if isinstance(part, Operator) else part for part in parse(option.header.value)
    )
    action = option.append_action
    if option.append is not None:  # the deprecated field, where it is set
        action = "APPEND_IF_EXISTS_OR_ADD" if option.append else "OVERWRITE_IF_EXISTS_OR_ADD"
    before = headers.get(name)
    if not value and not option.keep_empty_value:
        return
    if before is None:
        if action != "OVERWRITE_IF_EXISTS":
            headers[name] = value
    elif action == "APPEND_IF_EXISTS_OR_ADD":
        headers[name] = f"{before},{value}"
    elif action != "ADD_IF_ABSENT":
        headers[name] = value


def _rendered(operator: Operator, host: Host) -> str:
    # There is no request of the application's here: operators that ask about it render to nothing.
    known = {"UPSTREAM_HOST": host.key, "PROTOCOL": "HTTP/1.1"}
    if operator.name == "ENVIRONMENT":
        return os.environ.get(operator.argument or "", "-")[: operator.length]
    return known.get(operator.name, "")[: operator.length]
