"""The vocabulary: everything that can be said of an upstream, the same for real and for simulated ones.

Common to the verbs: `times` (how many requests, or connections, it covers), `for_` (seconds that it lasts, from when
its turn comes), whichever ends first; without either it has no end. `probability` (with `seed`, to be the same each
time) makes it hit some only; the others are answered as if nothing were wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

from .faults import NOT_HTTP, UNSAID, Answer, Headers, Reaction, pairs, reply
from .latency import Seconds, checked
from .misuse import ScriptError
from .steps import Hints, Step, check_bounds, check_words, code

if TYPE_CHECKING:
    from .faults import Place
    from .sentences import Sentence

P = ParamSpec("P")
At = Literal["before headers", "mid-headers", "before body", "mid-body"]
PLACES: dict[At, Place] = {
    "before headers": "before head",
    "mid-headers": "in head",
    "before body": "before body",
    "mid-body": "in body",
}


def verb(make: Callable[Concatenate[Any, P], Step]) -> Callable[Concatenate[Any, P], Sentence]:
    """Turn a method that makes a step into one that says it; what was written is kept as its code."""

    @functools.wraps(make)
    def say(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Sentence:
        check_words(make, kwargs)
        step = make(self, *args, **kwargs)
        check_bounds(make.__name__, step.times, step.for_, step.probability, step.seed)
        said: Sentence = self._say(replace(step, said=code(make.__name__, args, kwargs)))
        return said

    return say


class Verbs(Hints):
    """What can be said of an upstream, of one of its endpoints, or of some requests only; and after `.then`."""

    __slots__ = ()

    def _say(self, step: Step) -> Sentence:
        raise NotImplementedError

    # --- answers -----------------------------------------------------------------------------------------------------

    @verb
    def replies(
        self,
        *answers: Answer,
        status: int = 200,
        json: Any = UNSAID,
        text: str | None = None,
        content: bytes | Sequence[bytes] | None = None,
        headers: Headers = (),
        trailers: Headers = (),
        times: int | None = None,
        for_: float | None = None,
        after: Seconds = 0.0,
    ) -> Step:
        """Answer with one status and body, `replies(201, json={})`, or with each of `answers`; the last goes on.

        An answer is a status, a `Reaction`, or a function of the request that returns one of these. `after` is the
        seconds before it. Without `times` and `for_` this is what the upstream goes back to when later scripts end.
        """
        if len(answers) == 1 and isinstance(answers[0], int) and status == 200:
            status, answers = answers[0], ()
        if answers:
            if (json, text, content, headers, trailers, status) != (UNSAID, None, None, (), (), 200):
                raise ScriptError("replies: either several answers, or one status with its body and headers")
            given = tuple(reply(answer) if isinstance(answer, int) else answer for answer in answers)
            if times is not None and times < len(given):
                raise ScriptError(f"replies: of {len(given)} answers times={times!r} leaves some that can never fire")
        else:
            given = (reply(status, json=json, text=text, content=content, headers=headers, trailers=trailers),)
        return Step(
            answers=given,
            times=times,
            for_=for_,
            after=checked(after, "replies: after"),
            is_usual=times is None and for_ is None,
        )

    @verb
    def fails(
        self,
        times: int | None = None,
        *,
        status: int = 503,
        retry_after: float | None = None,
        json: Any = UNSAID,
        text: str | None = None,
        headers: Headers = (),
        for_: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
        after: Seconds = 0.0,
    ) -> Step:
        """Answer with an error status; `retry_after` is told in seconds."""
        told = (*pairs(headers), *_retry_after(retry_after))
        return Step(
            answers=(reply(status, json=json, text=text, headers=told),),
            times=times,
            for_=for_,
            probability=probability,
            seed=seed,
            after=checked(after, "fails: after"),
        )

    @verb
    def asks_to_wait(
        self, seconds: float, *, status: int = 429, times: int | None = None, for_: float | None = None
    ) -> Step:
        """Turn requests away with `Retry-After: seconds`, with 429 or 503."""
        return Step(answers=(reply(status, headers=_retry_after(seconds)),), times=times, for_=for_)

    @verb
    def is_slow(self, latency: Seconds, *, times: int | None = None, for_: float | None = None) -> Step:
        """Answer as if nothing were wrong, but only after `latency` seconds."""
        return Step(after=checked(latency, "is_slow"), times=times, for_=for_)

    @verb
    def browns_out(
        self,
        *,
        base: float = 0.01,
        per_request: float = 0.05,
        times: int | None = None,
        for_: float | None = None,
    ) -> Step:
        """Answer well but slower with load: after `base` seconds and `per_request` for each one already under way."""
        checked(base, "browns_out: base"), checked(per_request, "browns_out: per_request")
        return Step(load=(base, per_request), times=times, for_=for_)

    @verb
    def works(self, times: int | None = None, *, for_: float | None = None) -> Step:
        """Answer as if nothing were wrong."""
        return Step(times=times, for_=for_)

    @verb
    def recovers(self) -> Step:
        """Answer as if nothing were wrong, without end; said of an upstream itself it takes back every fault."""
        return Step(recovers=True)

    # --- answers that break ------------------------------------------------------------------------------------------

    @verb
    def hangs(
        self,
        times: int | None = None,
        *,
        at: At = "before headers",
        for_: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
    ) -> Step:
        """Take the request and say nothing (more)."""
        return Step(
            place=_place("hangs", at), ending="hang", times=times, for_=for_, probability=probability, seed=seed
        )

    @verb
    def closes(
        self,
        *,
        at: At = "before headers",
        times: int | None = None,
        for_: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
        after: Seconds = 0.0,
    ) -> Step:
        """Close the connection in the middle of an answer, in the orderly way (FIN)."""
        return Step(
            place=_place("closes", at),
            ending="close",
            times=times,
            for_=for_,
            probability=probability,
            seed=seed,
            after=checked(after, "closes: after"),
        )

    @verb
    def resets(
        self,
        *,
        at: At = "before headers",
        times: int | None = None,
        for_: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
        after: Seconds = 0.0,
    ) -> Step:
        """Break off in the middle of an answer: the connection (RST), over HTTP/2 the stream (RST_STREAM)."""
        return Step(
            place=_place("resets", at),
            ending="reset",
            times=times,
            for_=for_,
            probability=probability,
            seed=seed,
            after=checked(after, "resets: after"),
        )

    @verb
    def truncates(self, times: int | None = None, *, for_: float | None = None) -> Step:
        """Send half of the body that would be sent if nothing were wrong, and close."""
        return Step(place="in body", ending="close", times=times, for_=for_)

    @verb
    def drips(self, *pieces: bytes, every: float = 0.5, times: int | None = None, for_: float | None = None) -> Step:
        """Send the body piece by piece, `every` so many seconds; a single piece byte by byte."""
        if not pieces:
            raise ScriptError("drips: wants the bytes that it drips")
        checked(every, "drips: every")
        single = [pieces[0][at : at + 1] for at in range(len(pieces[0]))]
        content = single if len(pieces) == 1 else pieces
        return Step(answers=(reply(content=content, pause=every),), times=times, for_=for_)

    @verb
    def sends_garbage(
        self, data: bytes | int = NOT_HTTP, *, times: int | None = None, for_: float | None = None
    ) -> Step:
        """Answer with bytes that are no HTTP, and close; a number in their place is `times`."""
        if isinstance(data, int):
            times, data = data, NOT_HTTP
        return Step(answers=(Reaction(raw=data, ending="close"),), times=times, for_=for_)

    @verb
    def lies_about_length(self, *, by: int, times: int | None = None, for_: float | None = None) -> Step:
        """Tell a content-length that is wrong by so many bytes: +5 and 5 bytes never come, -5 and 5 are too many."""
        if by == 0:
            raise ScriptError("lies_about_length: by=0 is the truth")
        return Step(lie=by, times=times, for_=for_)

    # --- connections -------------------------------------------------------------------------------------------------

    @verb
    def is_down(self, *, for_: float | None = None) -> Step:
        """Refuse connections, and reset those that are open."""
        return Step(fault="down", for_=for_)

    @verb
    def flaps(self, *, up: float, down: float, times: int | None = None, for_: float | None = None) -> Step:
        """Be up for `up` seconds, then down for `down`, and so on; `times` counts such rounds."""
        if not (up > 0 and down > 0):
            raise ScriptError(f"flaps: up={up!r} and down={down!r} are seconds above 0")
        check_bounds("flaps", times, for_)
        lasting = [bound for bound in (for_, times * (up + down) if times else None) if bound is not None]
        return Step(fault="down", schedule=(up, down), for_=min(lasting, default=None))

    @verb
    def refuses(
        self,
        times: int | None = None,
        *,
        for_: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
    ) -> Step:
        """Refuse new connections; those that are open end as soon as they are idle."""
        return Step(fault="refuse", times=times, for_=for_, probability=probability, seed=seed)

    @verb
    def black_holes(self, times: int | None = None, *, for_: float | None = None) -> Step:
        """Let attempts to connect go unanswered; connections that are open end as soon as they are idle."""
        return Step(fault="black hole", times=times, for_=for_)

    @verb
    def fails_handshake(self, times: int | None = None, *, for_: float | None = None) -> Step:
        """Break new connections off in the TLS handshake; those that are open end as soon as they are idle."""
        return Step(fault="tls failure", times=times, for_=for_)


def _place(what: str, at: At) -> Place:
    if at not in PLACES:
        raise ScriptError(f"{what}: at={at!r} is none of {', '.join(map(repr, PLACES))}")
    return PLACES[at]


def _retry_after(seconds: float | None) -> tuple[tuple[str, str], ...]:
    if seconds is None:
        return ()
    checked(seconds, "retry_after")
    return (("retry-after", f"{seconds:g}"),)
