"""Tracing that begins when OpenTelemetry is in the process: before, nobody can have set up an SDK.

Its API takes 1 MB and 8 ms, and few who call have it. So nothing here imports it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ..call import Call
    from ..runtime.base import Clock, Random
    from .tracing import Tracing

API = "opentelemetry.trace"
NAMES_A_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"
"""The API looks up the provider that this variable names, be it imported by nobody else."""


def tracing(*, clock: Clock, random: Random) -> Tracing:
    """Return what makes the spans of one stack."""
    if NAMES_A_PROVIDER in os.environ:
        from .tracing import Tracing

        return Tracing(clock=clock, random=random)
    return cast("Tracing", _LateTracing(clock, random))


class _LateTracing:
    """`Tracing` without spans, which becomes a real one in place: whoever holds it pays for the question until then.

    What began before has no span in its call, as while no SDK is set up.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random

    @property
    def enabled(self) -> bool:
        """Whether an SDK is set up."""
        return API in sys.modules and _real(self).enabled

    def start_call(self, call: Call, *, may_tell: bool = True) -> None:
        """Start the span of a call, if there is to be one."""
        if API in sys.modules:
            _real(self).start_call(call, may_tell=may_tell)

    def follow(self, *_: object, **__: object) -> None:
        """A call without a span has none for others to follow."""

    def start_try(self, *_: object) -> None:
        """A call without a span has none for its tries."""

    end_call = end_try = start_try


def _real(late: _LateTracing) -> Tracing:
    """Make it the real one. Two threads may come here with the same: the second one's parts are as good."""
    from .tracing import Tracing

    # The parts come first: another thread may see the new class at once.
    vars(late).update(vars(Tracing(clock=late._clock, random=late._random)))  # noqa: SLF001
    late.__class__ = Tracing  # type: ignore[assignment]
    return cast("Tracing", late)
