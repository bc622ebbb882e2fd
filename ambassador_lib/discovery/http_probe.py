"""One health check against one host over HTTP: what is asked, and how the answer is judged.

Source: `envoy.config.core.v3.HealthCheck.HttpHealthCheck`, semantics 6.1 and 6.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from ..algorithms.health import CheckResult, matches_in_order
from ..call import Deadline, Header
from ..engine.base import Destination, Exchange
from ..engine.tls_names import string_check
from ..policy.model.cluster import Cluster, HealthCheck
from ..policy.model.core import Int64Range
from ..upstream.host import Host
from .probe_parts import USER_AGENT, EngineProbe, NetworkParts, add_header, authority_of, payload, question

DEFAULT_EXPECTED = (Int64Range(start=200, end=201),)
DEFAULT_RESPONSE_BUFFER_SIZE = 1024
DEFAULT_METHOD = "GET"
CHECKED_CLUSTER = "x-envoy-upstream-healthchecked-cluster"
"""Where a host says which service it is. Source: `HttpHealthCheck.service_name_matcher`."""


class HttpQuestion:
    """What is asked of a host over HTTP, and which answers are good."""

    def __init__(self, config: HealthCheck.HttpHealthCheck, host: Host, cluster: Cluster) -> None:
        self.method = DEFAULT_METHOD if config.method == "METHOD_UNSPECIFIED" else config.method
        self.path = config.path
        self.body = payload(config.send)
        self.authority, self.headers = _request_head(config, host, cluster, len(self.body))
        self._expected = config.expected_statuses or DEFAULT_EXPECTED
        self._retriable = config.retriable_statuses
        self._receive = [payload(part) for part in config.receive]
        matcher = config.service_name_matcher
        self._is_service = None if matcher is None else string_check(matcher)
        size = config.response_buffer_size
        # 0 means no bound; the default is not 0.
        self.kept = (DEFAULT_RESPONSE_BUFFER_SIZE if size is None else size or None) if self._receive else 0

    def judge(self, status: int, headers: httpx.Headers, body: bytes) -> CheckResult:
        """Return what an answer means."""
        # The body comes first, as in Envoy: no status makes up for a wrong one.
        refused = CheckResult.EXCLUDED if "x-envoy-immediate-health-check-fail" in headers else CheckResult.REFUSED
        if not matches_in_order(self._receive, body):
            return refused
        if not _within(self._expected, status):
            return CheckResult.RETRIABLE if _within(self._retriable, status) else refused
        if self._is_service is not None and not self._is_service(headers.get(CHECKED_CLUSTER, "")):
            return CheckResult.REFUSED
        return CheckResult.DEGRADED if "x-envoy-degraded" in headers else CheckResult.PASSED


class HttpProbe(EngineProbe):
    """Asks over HTTP."""

    outlives_timeouts = False

    def __init__(self, question: HttpQuestion, target: Destination, parts: NetworkParts, *, reuse: bool) -> None:
        super().__init__(target, parts, reuse=reuse)
        self._question = question

    async def _judge(self, response: httpx.Response) -> CheckResult:
        kept = self._question.kept
        body = bytearray()
        # A check is over when the answer is complete, whatever of it is looked at. Raw: Envoy matches the bytes sent.
        async for chunk in response.aiter_raw():
            body += chunk if kept is None else chunk[: max(0, kept - len(body))]
        return self._question.judge(response.status_code, response.headers, bytes(body))

    def _exchange(self, deadline: Deadline) -> Exchange:
        asked = self._question
        return question(
            self._target,
            deadline,
            method=asked.method,
            authority=asked.authority,
            path=asked.path,
            headers=list(asked.headers),
            body=asked.body,
        )


def _within(ranges: Sequence[Int64Range], status: int) -> bool:
    return any(part.start <= status < part.end for part in ranges)


def _request_head(
    config: HealthCheck.HttpHealthCheck, host: Host, cluster: Cluster, body_size: int
) -> tuple[str, list[Header]]:
    """Return the authority and the headers of the check's request."""
    headers = {"user-agent": USER_AGENT}
    for name in config.request_headers_to_remove:
        headers.pop(name.lower(), None)
    for option in config.request_headers_to_add:
        add_header(headers, option, host)
    if body_size:
        headers["content-length"] = str(body_size)
    authority = authority_of(host, config.host, cluster)
    return authority, [(name.encode(), value.encode()) for name, value in headers.items()]
