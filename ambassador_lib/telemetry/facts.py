"""What a span is about and what became of it, kept as the call has it: what is told of it is made when it is read.

Nearly all spans are read by an exporter, many in a row and on a thread of its own, where it costs a third of what it
costs within a call. So nothing is kept here that anybody may change, and nothing else of the request and the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Status, StatusCode

from .._httpx import parts_of
from .._native import mypyc_attr
from .attributes import (
    FIRST_ERROR_STATUS,
    OTHER_NAME,
    SPAN_NAMES,
    call_attributes,
    described_call,
    error_description,
    error_type,
    keep,
    kept,
    peer_attributes,
    try_attributes,
)

if TYPE_CHECKING:
    import httpx

    from .attributes import Attributes

_UNSET: Final = Status(StatusCode.UNSET)
_BAD_STATUS: Final = Status(StatusCode.ERROR)


@mypyc_attr(acyclic=True)
class Facts:
    """Of any span. `operation` is its name where the policy gives it one, else it is named by its method."""

    __slots__ = ("cluster", "error", "message", "method", "operation", "status")

    def __init__(self, method: str, cluster: str | None) -> None:
        self.method = method
        self.cluster = cluster
        self.operation = ""
        self.status: int | None = None
        self.error: str | None = None
        self.message: str | None = None

    def ended(self, status: int | None, error: BaseException | None) -> None:
        """Take down how it ended."""
        self.status = status
        if error is not None:
            self.error = error_type(type(error))
            self.message = error_description(error)

    @property
    def name(self) -> str:
        """The span's name."""
        return self.operation or SPAN_NAMES.get(self.method, OTHER_NAME)

    @property
    def has_failed(self) -> bool:
        """Whether it did not go well, by the HTTP semantic conventions for clients."""
        return self.error is not None or (self.status is not None and self.status >= FIRST_ERROR_STATUS)

    def verdict(self) -> Status:
        """Say how it went: without an error, by its status."""
        if self.error is None:
            return _UNSET if self.status is None or self.status < FIRST_ERROR_STATUS else _BAD_STATUS
        return Status(StatusCode.ERROR, self.message)

    def at_start(self) -> Attributes:
        """Describe it as it begins; a dictionary of its own."""
        raise NotImplementedError

    def at_end(self) -> Attributes:
        """Say what became of it."""
        raise NotImplementedError

    def whole(self) -> Attributes:
        """Return both together, which spans may have in common, so nobody changes it."""
        raise NotImplementedError

    def _how(self, found: Attributes) -> Attributes:
        if self.status is not None:
            found["http.response.status_code"] = self.status
        if self.error is not None:
            found["error.type"] = self.error
        elif self.has_failed:
            found["error.type"] = str(self.status)
        return found


@mypyc_attr(acyclic=True)
class CallFacts(Facts):
    """Of the logical request, as the application made it."""

    __slots__ = ("flags", "request_id", "url")

    def __init__(self, method: str, url: httpx.URL) -> None:
        super().__init__(method, None)
        self.url = url
        self.flags = ""
        self.request_id: bytes | None = None

    def at_start(self) -> Attributes:
        return call_attributes(self.method, self.url)

    def at_end(self) -> Attributes:
        return self._outcome({})

    def whole(self) -> Attributes:
        if self.error is not None or self.flags:
            return self._outcome(self.at_start())
        key = (self.method, parts_of(self.url), self.cluster, self.status, self.request_id is None)
        alike = kept(key) or keep(key, self._outcome(described_call(self.method, self.url)))
        if self.request_id is None:
            return alike
        return {**alike, "guid:x-request-id": self.request_id.decode("latin-1")}

    def _outcome(self, found: Attributes) -> Attributes:
        """Say it under the names of Envoy's span tags."""
        if self.flags:
            found["response_flags"] = self.flags
        if self.cluster:
            found["upstream_cluster.name"] = self.cluster
        if self.request_id is not None:
            found["guid:x-request-id"] = self.request_id.decode("latin-1")
        return self._how(found)


@mypyc_attr(acyclic=True)
class TryFacts(Facts):
    """Of one try, as the upstream sees it. `peer`: the `address:port` at the other end of its connection."""

    __slots__ = ("authority", "number", "peer", "scheme", "target")

    def __init__(self, method: str, scheme: str, authority: str, target: str, number: int, cluster: str | None) -> None:
        super().__init__(method, cluster)
        self.scheme = scheme
        self.authority = authority
        self.target = target
        self.number = number
        self.peer: str | None = None

    def at_start(self) -> Attributes:
        return try_attributes(self.method, self.scheme, self.authority, self.target, self.number, self.cluster)

    def at_end(self) -> Attributes:
        return self._outcome({})

    def whole(self) -> Attributes:
        if self.error is not None:
            return self._outcome(self.at_start())
        key = (self.method, self.scheme, self.authority, self.target, self.number, self.cluster, self.peer, self.status)
        return kept(key) or keep(key, self._outcome(self.at_start()))

    def _outcome(self, found: Attributes) -> Attributes:
        if self.peer:
            found.update(peer_attributes(self.peer))
        return self._how(found)
