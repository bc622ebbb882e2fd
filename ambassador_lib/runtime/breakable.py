"""Breaking a call off that runs beside its caller, from any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..call import Call


class Breakable:
    """Holds on to what a call waits for: its place in line, its exchange with the upstream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._broken = False
        self._exchange: Any = None
        call.on_exchange = self._take

    def _take(self, exchange: Any) -> None:
        self._exchange = exchange
        if self._broken:
            exchange.abort()

    def break_off(self) -> None:
        """Wake whoever waits; an exchange over a foreign blocking transport ends with its own timeout."""
        self._broken = True
        if self._exchange is not None:
            self._exchange.abort()
        ticket = getattr(self._call.grant, "ticket", None)
        if ticket is not None:
            ticket.wake()

    @property
    def ends_soon(self) -> bool:
        """Whether what was broken off notices: the engine has said how."""
        return self._exchange is None or self._exchange.can_abort
