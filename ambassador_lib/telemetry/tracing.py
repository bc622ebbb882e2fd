"""Spans: one for the logical request, below it one for every try, whose identity travels in that try's headers.

They are made (`call_spans`) from when OpenTelemetry is in the process: before, nobody can have set up an SDK. Its API
takes 1 MB and 8 ms, and few who call have it. So nothing here imports it.
"""

from __future__ import annotations

import os
import sys
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from ..runtime.clock import SystemClock

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from ..call import Attempt, Call, Header
    from ..runtime.base import Clock, Random
    from .call_spans import CallSpans
    from .spans import CallSpan, Recording

SCOPE: Final = "ambassador_lib"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.30.0"
API: Final = "opentelemetry.trace"
NAMES_A_PROVIDER: Final = "OTEL_PYTHON_TRACER_PROVIDER"
"""The API looks up the provider that this variable names, be it imported by nobody else."""


class Tracing:
    """Makes and ends the spans of one stack.

    `tracer_provider`: in place of the global one, which may be set at any time. `clock`: the source of timestamps.
    `random`: the source of the ids of spans that the policy decided against. What began before there was an SDK has no
    span.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock: Clock = SystemClock() if clock is None else clock
        self._random: Random = SystemRandom() if random is None else random
        self._made: CallSpans | None = None
        if tracer_provider is not None or NAMES_A_PROVIDER in os.environ:
            self._make(tracer_provider)

    @property
    def enabled(self) -> bool:
        """Whether an SDK is set up; asked anew each time, since one may be set up later."""
        made = self.made()
        return made is not None and made.spans() is not None

    def made(self) -> CallSpans | None:
        """Return what makes spans, `None` while OpenTelemetry is not in the process."""
        made = self._made
        if made is None and API in sys.modules:
            made = self._make(None)
        return made

    def start_call(
        self, call: Call, *, provider: str | None = None, sampled: bool = True, may_tell: bool = True
    ) -> None:
        """Start the span of the logical request, below the caller's current span, and keep it in `call.span`.

        `provider` is the listener's `tracing.provider`, which decides the format of the headers besides the
        configured propagator; `sampled` is False where the listener's `tracing` decided against this request.
        `may_tell` False: `tells_of_trace` was asked of its headers before.
        """
        made = self._made or self.made()
        if made is not None:
            made.start_call(call, provider, sampled, may_tell)

    def follow(self, call: Call, copy: Call, *, sampled: bool | None) -> None:
        """Let the tries of a mirrored copy have spans below the call's; `sampled` False: identities only."""
        made = self._made
        if made is not None:
            made.follow(call, copy, sampled)

    def end_call(self, call: Call, response_status: int | None, error: BaseException | None) -> None:
        """End the logical request's span, once; call it when the body has ended, whichever way."""
        held: CallSpan | None = call.span
        made = self._made
        if held is not None and made is not None:
            call.span = None
            made.end_call(held, call, response_status, error)

    def start_try(self, call: Call, attempt: Attempt, headers: list[Header]) -> Recording | None:
        """Start the span of one try and put its identity into `headers`, in place of what stood there.

        `None` where there is nothing to end: the call has no span, or the try's is not recorded.
        """
        held: CallSpan | None = call.span
        made = self._made
        if held is None or made is None:
            return None
        return made.start_try(held, call, attempt, headers)

    def end_try(
        self, span: Recording | None, status: int | None, error: BaseException | None, peer: str | None = None
    ) -> None:
        """End a try's span, once. `peer` is the `address:port` at the other end of its connection."""
        made = self._made
        if span is not None and made is not None:
            made.end_try(span, status, error, peer)

    def _make(self, tracer_provider: TracerProvider | None) -> CallSpans:
        """Two threads may come here with the same: the second one's parts are as good."""
        from .call_spans import CallSpans

        made = self._made = CallSpans(tracer_provider, self._clock, self._random)
        return made
