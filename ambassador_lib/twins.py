"""Twins of transports: who serves a transport's calls while surroundings are installed.

A twin is the transport as it would have been made in the surroundings: the same policy and parameters, over their time,
chance and network. Each transport makes its own when it is first needed, and they close it when they end.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from . import surroundings as world
from .entrance import is_closed

if TYPE_CHECKING:
    import httpx

    from .call import Call
    from .engine.base import Engine
    from .options import Options
    from .surroundings import Surroundings


class Twinned:
    """The part of a transport that is about its twin; in production none of it runs."""

    closes_inner: bool
    _has_own_clock: bool
    _has_own_random: bool
    _kept_twin: tuple[Surroundings, Self] | None
    _options: Options
    _own_passthrough: Any
    policy: Any

    @property
    def _acting(self) -> Self:
        """Who serves calls at the moment: the transport, or its twin."""
        around = world.installed
        return self if around is None or self._options.surroundings is not None else self._twin(around)

    def _twin(self, around: Surroundings) -> Self:
        """Return this transport as it would have been made in `around`; the same one for all threads."""
        kept = self._kept_twin
        if kept is not None and kept[0] is around:
            return kept[1]
        with around.making:
            kept = self._kept_twin
            if kept is not None and kept[0] is around:
                return kept[1]
            if self._closed:
                raise is_closed()
            around.check_going()
            twin = self._made_twin(around)
            self._kept_twin = (around, twin)
            around.welcome(self)
            return twin

    def _made_twin(self, around: Surroundings) -> Self:
        options = self._options
        clock, random = around.clock, around.random
        if self._has_own_clock:
            clock = around.own_clock(options.clock)
        if self._has_own_random:
            random = None
        twin = copy.copy(self)
        twin._prepare(
            replace(options, clock=clock or options.clock, random=random or options.random, surroundings=around)
        )
        twin.closes_inner = False
        twin._call = twin._noted_call  # type: ignore[method-assign]  # calls of others need not ask for it
        twin._own_passthrough = self._own_passthrough
        if twin.policy is not None:
            twin._begin()
        return twin

    def leave(self) -> None:
        """The surroundings end: close the twin, also where nothing can be awaited any more."""
        kept, self._kept_twin = self._kept_twin, None
        if kept is not None and not kept[1]._closed:
            for engine in kept[1]._close_stacks():
                self._end_engine(engine)

    def _end_engine(self, engine: Engine) -> None:
        engine.abandon()

    def _noted_call(self, request: httpx.Request, entry: Any = None) -> Call:
        """In place of `_call`, for a twin: the surroundings are told."""
        call = type(self)._call(self, request, entry)
        assert self._options.surroundings is not None, "a twin has them"
        self._options.surroundings.noted(call)
        return call

    # What the transport does.

    @property
    def _closed(self) -> bool:
        raise NotImplementedError

    def _prepare(self, options: Options) -> None:
        raise NotImplementedError

    def _begin(self) -> Any:
        raise NotImplementedError

    def _call(self, request: httpx.Request, entry: Any = None) -> Call:
        raise NotImplementedError

    def _close_stacks(self) -> list[Engine]:
        raise NotImplementedError
