"""The process's control thread for those who may never need it: asyncio comes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .control import ControlThread


def control_thread(given: ControlThread | None = None) -> ControlThread:
    """Return `given`, or the one that all clients of the process share."""
    if given is not None:
        return given
    from .control import ControlThread

    return ControlThread.shared()
