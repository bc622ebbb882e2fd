"""Internal redirects made ready: which answers are followed, where to, and what goes along (semantics 1.6).

Source: `envoy.config.route.v3.InternalRedirectPolicy`, and the two fields of `RouteAction` that it replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .mutations import set_lower_header

if TYPE_CHECKING:
    from ..call import Call, Header
    from ..policy.model.extra_requests import InternalRedirectPolicy
    from ..policy.model.route import RouteAction

FOLLOWED = frozenset((301, 302, 303, 307, 308))
SEE_OTHER = 303

FindRoute = Callable[["Call"], tuple[object, object]]
"""Chooses virtual host and route of a call."""


class Redirection:
    """Where a call has been sent so far."""

    __slots__ = ("count", "scheme", "seen", "tries")

    def __init__(self, scheme: str) -> None:
        self.count = 0
        self.scheme = scheme
        """Of the last URL."""
        self.seen: dict[str, set[str]] = {}
        """By a route's name, those that its redirects have led to."""
        self.tries = 0
        """Tries that were made before the last redirect."""


class Redirects:
    """One route's policy."""

    __slots__ = ("_copied", "_cross_scheme", "_maximum", "_predicates", "_route_name", "codes")

    def __init__(self, policy: InternalRedirectPolicy, route_name: str) -> None:
        self.codes = frozenset(policy.redirect_response_codes) & FOLLOWED or frozenset((302,))
        if policy.redirect_response_codes and not FOLLOWED.intersection(policy.redirect_response_codes):
            self.codes = frozenset()
        self._maximum = 1 if policy.max_internal_redirects is None else policy.max_internal_redirects
        self._cross_scheme = policy.allow_cross_scheme_redirect
        self._predicates = [predicate.typed_config for predicate in policy.predicates]
        self._copied = [name.lower().encode() for name in policy.response_headers_to_copy]
        self._route_name = route_name

    def accept(self, call: Call, response: Sequence[Header], find: FindRoute) -> bool:
        """Turn the call to where the answer points, if it may go there: its route is the new one then.

        In Envoy's order; a call that does not go anywhere stays as it is.
        """
        state = call.redirection
        target = _absolute(next((value for name, value in response if name.lower() == b"location"), b""))
        if target is None or (target[0] != state.scheme and not self._cross_scheme):
            return False
        if state.count >= self._maximum:
            return False
        before = call.headers, call.authority, call.target, call.virtual_host, call.route
        call.headers = self._copy(call.headers, response)
        scheme, call.authority, call.target = target
        call.virtual_host, call.route = find(call)
        if call.route is None or not self._approved(call, scheme):
            call.headers, call.authority, call.target, call.virtual_host, call.route = before
            return False
        original = f"{state.scheme}://{before[1]}{before[2]}".encode("latin-1")
        set_lower_header(call.headers, b"x-envoy-original-url", original)
        state.count += 1
        state.scheme = scheme
        return True

    def _copy(self, headers: list[Header], response: Sequence[Header]) -> list[Header]:
        copied = [(name, [v for key, v in response if key.lower() == name]) for name in self._copied]
        kept = [header for header in headers if header[0] not in self._copied]
        return kept + [(name, value) for name, values in copied for value in values]

    def _approved(self, call: Call, scheme: str) -> bool:
        if not self._predicates:
            return True
        from ..policy.model.extra_requests import AllowListedRoutesConfig, PreviousRoutesConfig, SafeCrossSchemeConfig

        state, name = call.redirection, call.route.name
        for predicate in self._predicates:
            if isinstance(predicate, AllowListedRoutesConfig) and name not in predicate.allowed_route_names:
                return False
            if isinstance(predicate, SafeCrossSchemeConfig) and state.scheme == "http" and scheme == "https":
                return False
            if isinstance(predicate, PreviousRoutesConfig):
                seen = state.seen.setdefault(self._route_name, set())
                if name in seen:
                    return False
                seen.add(name)
        return True


def compile_redirects(action: RouteAction, route_name: str) -> Redirects | None:
    """Make a route's policy ready; the deprecated fields count where there is no policy."""
    policy = action.internal_redirect_policy
    if policy is None and action.internal_redirect_action == "HANDLE_INTERNAL_REDIRECT":
        from ..policy.model.extra_requests import InternalRedirectPolicy

        policy = InternalRedirectPolicy(max_internal_redirects=action.max_internal_redirects)
    return None if policy is None else Redirects(policy, route_name)


def _absolute(location: bytes) -> tuple[str, str, str] | None:
    """Return scheme, authority and target of an absolute URL; nothing else is followed."""
    scheme, mark, rest = location.decode("latin-1").strip().partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https"):
        return None
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    authority = authority.rpartition("@")[2]
    if not authority:
        return None
    return scheme, authority, target if target.startswith("/") else "/" + target
