"""Rewrites of path and host, and the headers that tell what they were before (semantics 1.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..algorithms.query_parameters import fit_for_a_line
from ..call import NO_TRY, Call
from .format import compile_text
from .match import lower
from .mutations import append_to_header, set_lower_header, tell
from .regex import compile_substitution

if TYPE_CHECKING:
    from ..policy.model.core import RegexMatchAndSubstitute
    from ..policy.model.route import RouteAction, RouteMatch
    from ..runtime.base import Clock
    from .compiled import CompiledRoute

PathRewrite = Callable[[str], str | None]
"""Maps a target (path and query) to the one that the upstream sees, `None` to leave it."""

HostRewrite = Callable[[Call], str | None] | str
"""Names the new host, `None` to leave it; or is its name."""


def as_sent(text: str) -> str:
    """Return a policy's text as calls hold theirs: a character for each byte on the wire."""
    return text.encode().decode("latin-1")


def compile_path_format(path_rewrite: str, clock: Clock) -> Callable[[Call], str | None] | None:
    """Compile a format for the whole path; the query is kept. Unset values are empty, and so is no rewrite."""
    if not path_rewrite:
        return None
    render = compile_text(path_rewrite, clock, omit_empty=True)

    def rewrite(call: Call) -> str | None:
        path = render(call, 0, ()).decode("latin-1")
        _, mark, query = call.target.partition("?")
        return path + mark + query if path else None

    return rewrite


def compile_path_rewrite(
    match: RouteMatch, prefix_rewrite: str | None, regex_rewrite: RegexMatchAndSubstitute | None
) -> PathRewrite | None:
    """Compile the path rewrite of a route or redirect; the query is kept as it is."""
    if prefix_rewrite:
        return _prefix_rewrite(match, prefix_rewrite)
    if regex_rewrite is None:
        return None
    replace = compile_substitution(regex_rewrite)

    def rewrite(target: str) -> str | None:
        path, mark, query = target.partition("?")
        path = replace(path)
        return path + mark + query if path else None  # Envoy does not rewrite to nothing

    return rewrite


def _prefix_rewrite(match: RouteMatch, replacement: str) -> PathRewrite:
    """Swap the matched prefix; with `path` and `safe_regex` the whole path is what matched."""
    replacement = as_sent(replacement)
    prefix = match.prefix if match.prefix is not None else match.path_separated_prefix
    if prefix is None:

        def rewrite_whole(target: str) -> str:
            _, mark, query = target.partition("?")
            return replacement + mark + query

        return rewrite_whole
    length = len(prefix)
    fold = match.case_sensitive is False
    own = lower(prefix) if fold else prefix

    def rewrite_prefix(target: str) -> str | None:
        # What matched only without its path parameters does not begin with the prefix, and stays (verified).
        start = lower(target[:length]) if fold else target[:length]
        return replacement + target[length:] if start == own else None

    return rewrite_prefix


def rewrite_path(call: Call, target: str | None, *, keep_original: bool) -> None:
    """Rewrite the target, if to anything; `x-envoy-original-path` tells the old one, even if nothing changed."""
    if target is None:
        return
    if keep_original:
        tell(call, call.headers, b"x-envoy-original-path", call.target.encode("latin-1"))
    call.target = fit_for_a_line(target)


def compile_host_rewrite(action: RouteAction, clock: Clock) -> HostRewrite | None:
    """Compile the host rewrites that do not depend on the endpoint (all but `auto_host_rewrite`)."""
    if action.host_rewrite:
        render = compile_text(action.host_rewrite, clock)
        return lambda call: render(call, 0, ()).decode("latin-1") or None
    if action.host_rewrite_literal:
        return as_sent(action.host_rewrite_literal)
    if action.host_rewrite_header:
        name = action.host_rewrite_header.lower().encode()
        return lambda call: (call.header(name) or b"").decode("latin-1") or None
    if action.host_rewrite_path_regex is not None:
        replace = compile_substitution(action.host_rewrite_path_regex)
        # Without a match the host becomes the whole path: what Envoy does, and rarely what was meant.
        return lambda call: replace(call.path)
    return None


def rewrite_host(call: Call, new_host: str) -> None:
    """Set the authority as the call's route wants it told.

    `x-envoy-original-host` is the host before this rewrite, which on a retry is that of the endpoint tried before;
    `x-forwarded-host` grows by it unless it already ends in it. Verified against Envoy 1.40 over several tries.
    """
    old = call.authority.encode("latin-1")
    route: CompiledRoute = call.route
    if route.append_x_forwarded_host and old:
        forwarded = call.header(b"x-forwarded-host") or b""
        if forwarded.rpartition(b",")[2] != old:
            append_to_header(call.headers, b"x-forwarded-host", old)
    if not route.suppress_envoy_headers and old:
        if call.attempt is NO_TRY:
            tell(call, call.headers, b"x-envoy-original-host", old)
        else:  # the try before may have told it
            set_lower_header(call.headers, b"x-envoy-original-host", old)
    call.authority = new_host
