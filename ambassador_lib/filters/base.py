"""The seam of the HTTP filters: what a filter is made of, and what they share.

A filter stands between the choice of the route and the router (semantics 9): it sees the original path, runs once a
call, is not retried and lies outside the route's timeout. To add one:

1. its messages as frozen dataclasses in `policy/model/filters/`, with a line in the two tables of that package; what
   Envoy checks of them beyond its schema in `policy/check_filters.py`;
2. a class here, in a file of its own, that follows `Filter`, with a line in `registry.py`.

A filter is made once for each entry of a listener's `http_filters`, so what all calls share (a bucket, a window) is its
own. `prepare` is called once for each place where a `typed_per_filter_config` sets something for it, `layer` once for
each route, and each weighted cluster with settings of its own: what can be decided there costs a call nothing.

`Layer.handle` is a handler as any other. It answers by raising an `AmbassadorError`. `Layer.respond` changes responses;
as in Envoy it sees all of them, those of the router and of *every* filter, earlier ones too, from the last filter to
the first; a local reply has had the route's `response_headers_to_add`, its text and its framing by then. What a filter
takes is given back with `call.defer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from ..call import INFINITY, Answer, Call, Deadline, Header, Next
from ..errors import DeadlineExpired, LocalReply, expired, stream_idle_timeout

if TYPE_CHECKING:
    from ..engine.tls import GenericSecrets
    from ..policy.model import Listener, Node
    from ..routing.compiled import CompiledRoute
    from ..runtime.base import Clock, Random, Runtime


@dataclass(frozen=True, slots=True)
class FilterContext:
    """What a filter may use. `values` are the policy's runtime values by key, `node` is who runs the policy, `secrets`
    where generic secrets come from.
    """

    listener: Listener
    runtime: Runtime
    clock: Clock
    random: Random
    values: Mapping[str, Any] = field(default_factory=dict)
    node: Node | None = None
    secrets: GenericSecrets | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose calls a layer is for. `route` is `None` for calls that no route claims; the filters see these, too.

    `idle_timeout` is the stream's, in seconds, `inf` for none.
    """

    route: CompiledRoute | None = None
    weight: object = None
    idle_timeout: float = INFINITY


class Reply:
    """A response on its way back. `headers` are changed in place; a local reply has a `body` and no `response`."""

    __slots__ = ("body", "headers", "response", "status")

    def __init__(self, status: int, headers: list[Header], response: httpx.Response | None, body: bytes = b"") -> None:
        self.body = body
        self.status = status
        self.headers = headers
        self.response = response


Respond = Callable[[Call, Reply], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """What one filter does to the calls of one route: either, both, or nothing."""

    handle: Callable[[Call, Next], Answer] | None = None
    respond: Respond | None = None
    change: Callable[[Call], None] | None = None
    """What `handle` does before it goes on, where that is all: such a filter may stand in a cluster, too."""


NOTHING = Layer()

STATUS = {
    "BadRequest": 400, "Unauthorized": 401, "PaymentRequired": 402, "Forbidden": 403, "NotFound": 404,
    "MethodNotAllowed": 405, "NotAcceptable": 406, "ProxyAuthenticationRequired": 407, "RequestTimeout": 408,
    "Conflict": 409, "Gone": 410, "LengthRequired": 411, "PreconditionFailed": 412, "PayloadTooLarge": 413,
    "URITooLong": 414, "UnsupportedMediaType": 415, "RangeNotSatisfiable": 416, "ExpectationFailed": 417,
    "MisdirectedRequest": 421, "UnprocessableEntity": 422, "Locked": 423, "FailedDependency": 424,
    "UpgradeRequired": 426, "PreconditionRequired": 428, "TooManyRequests": 429, "RequestHeaderFieldsTooLarge": 431,
    "InternalServerError": 500, "NotImplemented": 501, "BadGateway": 502, "ServiceUnavailable": 503,
    "GatewayTimeout": 504, "HTTPVersionNotSupported": 505, "VariantAlsoNegotiates": 506, "InsufficientStorage": 507,
    "LoopDetected": 508, "NotExtended": 510, "NetworkAuthenticationRequired": 511,
}  # fmt: skip
"""The failures among `envoy.type.v3.StatusCode`, all that a filter may answer with."""


class Filter(Protocol):
    """One filter of a connection manager, made from its configuration and a `FilterContext`."""

    def prepare(self, config: Any) -> Any:
        """Compile what one place sets for this filter; `layer` gets the result."""

    def layer(self, scope: Scope, settings: Sequence[Any]) -> Layer:
        """Return what there is to do for the calls of `scope`.

        `settings` are what `prepare` made of its levels, the least specific first (route table, virtual host, route,
        weighted cluster); most filters only look at the last one.
        """


def mutate(call: Call, reply: LocalReply) -> None:
    """Make the route's mutations of a local reply's headers, once; what a filter adds comes after them."""
    if reply.mutated:
        return
    call.flag(reply.flag)  # before the mutations, which may name them
    call.report.details = reply.details
    if call.route is not None:
        call.route.apply_response(call, call.choice, reply.status, reply.headers)
    reply.mutated = True


async def pause(runtime: Runtime, call: Call, seconds: float, scope: Scope) -> None:
    """Hold a call back.

    The route's timeout does not run, the stream's idle timeout does (SI), and so does the application's own patience
    with the answer (`httpx.ReadTimeout`).
    """
    if call.deadline.at != INFINITY:  # bounded from its beginning, by these two and more
        try:
            await runtime.sleep(seconds, call.deadline)
        except DeadlineExpired:
            raise expired(call) from None
        return
    now = runtime.now()
    deadline = Deadline(now + min(scope.idle_timeout, call.read_timeout))
    try:
        await runtime.sleep(seconds, deadline)
    except DeadlineExpired:
        if scope.idle_timeout <= call.read_timeout:
            raise stream_idle_timeout() from None
        raise httpx.ReadTimeout("the application's own read timeout passed") from None
