"""What a client's attributes come to, looked at once and kept until somebody assigns to one of them.

What changes without an assignment is asked for every call: cookies, hooks and mounts, which are objects of their own,
and whoever has put something in the place of a method.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

from typing import Any

from httpx._client import ClientState

from .patched import AsWritten, pristine
from .requests import NO_HEADERS, KeptHeaders

_OPENED = ClientState.OPENED
"""An enum's members are slow to look up."""
_READ = frozenset({
    "_ambassadors", "_auth", "_constructed", "_cookies", "_event_hooks", "_given", "_headers",
    "_mounts", "_params", "_state", "_timeout", "_transport", "max_redirects",
})  # fmt: skip
_IN_A_VERB = frozenset({"request", "build_request", "send"})
"""Methods that `client.get` and the like call."""


class Settings:
    """What a client's attributes say."""

    __slots__ = (
        "ambassadors", "builds", "choice", "constructed", "cookies", "headers", "hooks", "is_given",
        "is_read", "kept_headers", "kind", "method", "mounts", "sends", "steps", "timeout", "transport",
        "verbs", "wires",
    )  # fmt: skip

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.steps: AsWritten = kind._steps
        self.choice = kind._choice
        self.method: str | None = None
        """What somebody who watches one transport of httpx's replaces."""
        self.kept_headers: KeptHeaders = NO_HEADERS
        self.is_read = False
        self.builds = self.sends = self.verbs = self.wires = False
        """Whether no attribute stands in the way of building requests here, of sending them here, of doing both at once
        for `get` and the like, and of asking the policy first."""

    def read(self, own: dict[str, Any]) -> None:
        """Look at a client's attributes. One that is missing is a property of a subclass, and has to be read anew."""
        kind = self.kind
        mro = kind.__mro__
        if own.keys() >= _READ and mro[mro.index(kind._last) + 1] is kind._httpx_client:
            self.cookies, self.headers, self.timeout = own["_cookies"], own["_headers"], own["_timeout"]
            self.hooks = own["_event_hooks"]
            self.ambassadors, self.mounts = own["_ambassadors"], own["_mounts"]
            self.constructed, self.transport = own["_constructed"], own["_transport"]
            self.is_given = own["_given"] is not None
            owner, method = kind._own_transport
            self.method = method if isinstance(self.transport, owner) else None
            is_own = own.keys().isdisjoint(self.steps.own)  # nobody has replaced a step of this client alone
            self.builds = is_own and not own["_params"]._dict
            is_open = own["_state"] is _OPENED and own["max_redirects"] >= 0
            self.sends = is_own and is_open and own["_auth"] is None
            self.verbs = self.builds and self.sends and own.keys().isdisjoint(_IN_A_VERB)
            self.wires = self.transport is self.constructed and "_transport_for_url" not in own
        self.is_read = True

    def has_hooks(self) -> bool:
        """Tell whether somebody wants to be called for each request."""
        hooks = self.hooks
        return bool(hooks["request"] or hooks["response"])

    def is_wired_plainly(self) -> bool:
        """Tell whether there is one transport only, as the constructor made it, and nobody watches it."""
        return (
            self.wires
            and not self.mounts
            and self.kind._transport_for_url is self.choice
            and (self.method is None or self.method not in self.transport.__dict__)
            and (self.is_given or pristine())
        )


def settings_of(client: Any) -> Settings:
    """Return what a client's attributes say now."""
    kept: Settings | None = client._settings
    if kept is not None and kept.is_read:
        return kept
    own: dict[str, Any] = client.__dict__
    # Put there before anything is read: what is assigned meanwhile, on another thread, throws it away.
    own["_settings"] = made = Settings(type(client))
    made.read(own)
    return made
