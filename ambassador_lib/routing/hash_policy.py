"""The hash of a request (`RouteAction.hash_policy`; semantics 7).

It is asked for when a host is picked, so it sees the request as it will be sent: rewritten and with its headers
mutated (verified against Envoy 1.40). The draw of a weighted cluster comes before that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..algorithms.hashing import Hash, combined, xxhash64, xxhash64_of_all
from ..call import Call
from .internal import source_address
from .regex import compile_substitution
from .request_parts import call_values, cookies_of, query_parameter

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster
    from ..policy.model.hashing import HashPolicy
    from ..runtime.base import Random

HashOf = Callable[[Call], "Hash | None"]
MakeCookie = Callable[[], str]
"""Gives the value of a cookie that a request does not bring."""


def compile_hash_policy(policies: Sequence[HashPolicy], cookie_value: MakeCookie | None) -> HashOf | None:
    """Compile hash policies to one function; `None` where there are none.

    A cookie that is made has `cookie_value` and is noted in `call.set_cookies`; without it none is made.
    """
    parts = [(_compile(policy, cookie_value), policy.terminal) for policy in policies]
    if not parts:
        return None
    return lambda call: combined((part(call), terminal) for part, terminal in parts)


def cluster_hash(cluster: Cluster, random: Random) -> HashOf | None:
    """Compile the cluster's own hash policy: the load balancer's, else that of its protocol options."""
    options = cluster.http_protocol_options
    policies = cluster.hash_policy or (options.hash_policy if options is not None else ())
    return compile_hash_policy(policies, SessionCookie(random))


def _compile(policy: HashPolicy, cookie_value: MakeCookie | None) -> HashOf:
    if policy.header is not None:
        return _header(policy.header)
    if policy.cookie is not None:
        return _cookie(policy.cookie, cookie_value)
    if policy.query_parameter is not None:
        name = policy.query_parameter.name
        return lambda call: _text(query_parameter(call.target, name))
    if policy.connection_properties is not None and policy.connection_properties.source_ip:
        return _source_ip
    return lambda _call: None


def _text(value: str | None) -> Hash | None:
    return None if value is None else xxhash64(value.encode("latin-1"))


def _header(policy: HashPolicy.Header) -> HashOf:
    values_of = call_values(policy.header_name.lower())
    rewrite = None if policy.regex_rewrite is None else compile_substitution(policy.regex_rewrite)

    def hash_of(call: Call) -> Hash | None:
        values = values_of(call)
        if not values:
            return None
        if rewrite is not None:
            values = [rewrite(value.decode("latin-1")).encode("latin-1") for value in values]
        return xxhash64_of_all(values)

    return hash_of


def _source_ip(call: Call) -> Hash:
    """The caller is taken to be on this machine, unless it says for whom it calls."""
    return xxhash64(str(source_address(call)).encode())


def _cookie(policy: HashPolicy.Cookie, cookie_value: MakeCookie | None) -> HashOf:
    name = policy.name.encode()

    def hash_of(call: Call) -> Hash | None:
        value = cookies_of(call).get(name)
        if not value:
            if policy.ttl is None or cookie_value is None:
                return None
            made = cookie_value()
            call.set_cookies = (*call.set_cookies, set_cookie(policy, made).encode("latin-1"))
            value = made.encode()
        return xxhash64(value)

    return hash_of


def set_cookie(policy: HashPolicy.Cookie, value: str) -> str:
    """Return the `Set-Cookie` line of a cookie that was made."""
    seconds = int(policy.ttl or 0)
    parts = [f'{policy.name}="{value}"']
    if seconds:
        parts.append(f"Max-Age={seconds}")
    if policy.path:
        parts.append(f"Path={policy.path}")
    parts += [f"{item.name}={item.value}" if item.value else item.name for item in policy.attributes]
    return "; ".join([*parts, "HttpOnly"])


class SessionCookie:
    """The value of the cookies that one client's calls are given: as behind a sidecar, one for a connection to it."""

    __slots__ = ("_random", "_value")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._value = ""

    def __call__(self) -> str:
        if not self._value:
            self._value = f"{self._random.getrandbits(64):016x}"
        return self._value
