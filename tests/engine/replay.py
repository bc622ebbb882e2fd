"""A peer that has said all it will ever say: a network whose only connection reads prepared pieces, without waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ambassador_lib.call import Deadline
from ambassador_lib.engine.base import Exchange
from ambassador_lib.engine.blocking import BlockingNetwork
from ambassador_lib.engine.loop import LoopNetwork
from ambassador_lib.engine.wire import READ_SIZE
from ambassador_lib.errors import DeadlineExpired, connect_failure


class ReplayWire:
    """Reads `pieces`, each by a read of its own; then comes the end, or nothing ever (`DeadlineExpired`)."""

    alpn = None
    keeps_deadlines = True

    def __init__(self, pieces: Iterable[bytes], *, ends: bool) -> None:
        self.pieces = deque(piece for piece in pieces if piece)
        self.ends = ends
        self.sent: list[bytes] = []
        self.is_open = True

    async def read(self, deadline: Deadline) -> bytes:
        if self.pieces:
            piece = self.pieces.popleft()
            if len(piece) > READ_SIZE:
                self.pieces.appendleft(piece[READ_SIZE:])
            return piece[:READ_SIZE]
        if self.ends:
            return b""
        raise DeadlineExpired

    async def write(self, data: bytes, deadline: Deadline) -> None:
        self.sent.append(bytes(data))

    def put(self, data: bytes, deadline: Deadline) -> Coroutine[Any, Any, None]:
        return self.write(data, deadline)

    def get(self, deadline: Deadline) -> bytes | None:
        return None

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        await sending
        return True

    async def close(self) -> None:
        self.is_open = False

    def abort(self) -> None:
        self.is_open = False

    forget = abort

    def has_input(self) -> bool:
        return bool(self.pieces) or self.ends

    def has_hung_up(self) -> bool:
        return self.ends

    def get_extra_info(self, info: str) -> Any:
        return None


class _Replay:
    """Dials `wire` once; nobody else is there."""

    wire: ReplayWire | None

    async def dial(self, exchange: Exchange) -> Any:
        wire, self.wire = self.wire, None
        if wire is None:
            raise connect_failure("refused")
        return wire


class BlockingReplay(_Replay, BlockingNetwork):
    def __init__(self, wire: ReplayWire) -> None:
        super().__init__(lambda: 0.0)
        self.wire = wire


class LoopReplay(_Replay, LoopNetwork):
    def __init__(self, wire: ReplayWire) -> None:
        super().__init__(lambda: 0.0)
        self.wire = wire
