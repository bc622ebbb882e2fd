"""What virtual time puts in the way of what would really wait: `time.sleep`, and sockets to simulated addresses."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .misuse import MisuseError

if TYPE_CHECKING:
    from .virtual_time import VirtualTime

_world: VirtualTime | None = None
"""Whose time it is."""
_really_sleep = time.sleep
_really_connect = socket.create_connection
_PASSED_OVER = sys.stdlib_module_names | {"_pytest", "anyio", "execnet", "pytest", "trio", "xdist"}
"""Packages that sleep for reasons of their own."""
_unconcerned: dict[str, tuple[int, int]] = {}
"""Modules that were looked at: where their names are kept, and how many these were."""


def sleep(seconds: float, /) -> None:
    """In place of `time.sleep`, and of what was imported from there, for as long as there is virtual time."""
    world = _world
    if world is None or threading.get_ident() in world.turns.strangers:
        _really_sleep(seconds)
    elif world.sleep_is_virtual:
        world.sleep(seconds)
    elif seconds > 0:
        raise MisuseError(
            f"time.sleep({seconds!r}) under virtual time would really sleep, and no virtual time would pass: use "
            "virtual_time.sleep(...), or asyncio.sleep in async code; for code that is not yours, "
            "virtual_time.takes_over_sleep()"
        )


def create_connection(address: Any, *given: Any, **options: Any) -> socket.socket:
    """In place of `socket.create_connection`."""
    check_address(address)
    return _really_connect(address, *given, **options)


def check_address(address: Any) -> None:
    """Raise `MisuseError` for that of a simulated upstream: a socket would look for it in the real world."""
    if _world is not None and isinstance(address, tuple) and _world.network.lives_at(*address[:2]):
        raise MisuseError(
            f"a real connection to {address[0]}:{address[1]}, which is simulated: clients of this library reach it, "
            "and httpx with SimulatedTransport(); for any other client there are real upstreams"
        )


@contextmanager
def guarded(world: VirtualTime) -> Iterator[None]:
    """Guard all that the process has imported, until the end."""
    global _world, _really_sleep, _really_connect  # noqa: PLW0603 - there is one world at a time
    if time.sleep is not sleep:
        _really_sleep = time.sleep
    if socket.create_connection is not create_connection:
        _really_connect = socket.create_connection
    changed = list(_importers())
    _world = world
    time.sleep = sleep  # type: ignore[assignment]
    socket.create_connection = create_connection
    for names, name in changed:
        names[name] = sleep
    try:
        yield
    finally:
        _world = None
        if time.sleep is sleep:
            time.sleep = _really_sleep
        if socket.create_connection is create_connection:
            socket.create_connection = _really_connect
        for names, name in changed:
            if names.get(name) is sleep:
                names[name] = _really_sleep


def _importers() -> Iterator[tuple[dict[str, Any], str]]:
    """Find who has said `from time import sleep`; what did not is looked at again when it has got more names."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in _PASSED_OVER or not isinstance(module, ModuleType):
            continue
        names = vars(module)
        size = id(names), len(names)
        if _unconcerned.get(module_name) == size or module_name == __name__:
            continue
        found = [name for name, value in list(names.items()) if value is _really_sleep]
        if not found:
            _unconcerned[module_name] = size
        for name in found:
            yield names, name
