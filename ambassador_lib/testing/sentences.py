"""Sentences about an upstream: whom they are about (`Scope`), and how they go on (`.then`)."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .misuse import ScriptError
from .steps import Run, Script, Step, code
from .verbs import Verbs

if TYPE_CHECKING:
    from .script import Scripted
    from .seen import Seen

Turn = tuple[Run[Step], Step]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a sentence is about: all, one endpoint, each endpoint for itself; all requests, or some."""

    endpoint: int | None = None
    each: bool = False
    first: bool = False
    """Before all others, which go on where it lets requests through and when it is over."""
    method: str | None = None
    path: str | None = None

    @property
    def is_about_some_requests(self) -> bool:
        """Whether it depends on what is asked."""
        return self.method is not None or self.path is not None

    def covers(self, endpoint: int, seen: Seen | None) -> bool:
        """Whether it is about this endpoint, and this request; about the connection where there is none."""
        if self.endpoint not in (None, endpoint):
            return False
        if seen is None:
            return not self.is_about_some_requests
        return self.method in (None, seen.method) and (
            self.path is None or fnmatch.fnmatchcase(seen.path, self.path) or seen.target == self.path
        )

    def particular(self) -> tuple[bool, bool, bool, bool]:
        """Sort key: the more particular comes later."""
        return self.first, self.is_about_some_requests, self.endpoint is not None, self.each

    def code(self, name: str) -> str:
        """Return the code before the verbs."""
        parts = [name, "first"] if self.first else [name]
        if self.endpoint is not None:
            parts.append(f"endpoint({self.endpoint})")
        if self.each:
            parts.append("each")
        if self.is_about_some_requests:
            given = [self.method, self.path] if self.method is not None and self.path is not None else []
            keywords = {} if given else {"method": self.method} if self.path is None else {"path": self.path}
            parts.append(code("on", given, keywords))
        return ".".join(parts)


class Sentence:
    """What was said: goes on with `.then`; its repr is the code for it, and equal sentences say the same."""

    __slots__ = ("_scope", "_script", "_scripted")

    def __init__(self, scripted: Scripted, scope: Scope, script: Script[Step]) -> None:
        self._scripted = scripted
        self._scope = scope
        self._script = script

    @property
    def then(self) -> Then:
        """Go on: what follows has its turn when all before it is over."""
        return Then(self)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was said so far, as data."""
        return tuple(self._script.steps)

    def ended_for(self, seen: Seen) -> bool:
        """Whether it is about this request, and over."""
        return self._scope.covers(seen.endpoint, seen) and not self._scope.first

    def __repr__(self) -> str:
        return self._script.code(self._scope.code(self._scripted.code_name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sentence) and (self._scope, self.steps) == (other._scope, other.steps)

    def __hash__(self) -> int:
        return hash((self._scope, tuple(step.said for step in self.steps)))


class Then(Verbs):
    """The verbs, for a sentence that goes on."""

    __slots__ = ("_sentence",)

    def __init__(self, sentence: Sentence) -> None:
        self._sentence = sentence

    def _say(self, step: Step) -> Sentence:
        self._sentence._scripted._go_on(self._sentence._scope, self._sentence._script, step)  # noqa: SLF001
        return self._sentence


class Scoped(Verbs):
    """The verbs, and the ways of saying whom they are about."""

    __slots__ = ()

    def _whom(self) -> tuple[Scripted, Scope]:
        raise NotImplementedError

    def _say(self, step: Step) -> Sentence:
        scripted, scope = self._whom()
        return scripted._begin(scope, step)  # noqa: SLF001

    @property
    def first(self) -> Part:
        """In front of everything else that is said: for faults that end, and leave the rest as it was.

        What is `usual` here is what the rest says; `works(times=2)` lets two requests through to it.
        """
        scripted, scope = self._whom()
        return Part(scripted, replace(scope, first=True))

    @property
    def each(self) -> Part:
        """Every endpoint for itself, with counts and dice of its own; without it a script is shared by all."""
        scripted, scope = self._whom()
        if scope.endpoint is not None:
            raise ScriptError(f"{scope.code(scripted.code_name)}.each: one endpoint is only one")
        return Part(scripted, replace(scope, each=True))

    def endpoint(self, number: int) -> Part:
        """One endpoint only, counted from 0."""
        scripted, scope = self._whom()
        if scope.each:
            raise ScriptError("each endpoint, or one of them: not both")
        scripted._check_endpoint(number)  # noqa: SLF001
        return Part(scripted, replace(scope, endpoint=number))

    def on(self, method: str | None = None, path: str | None = None) -> Part:
        """Only requests with this method and path; `path` may be a glob (`"/charges/*"`), or a target with query."""
        scripted, scope = self._whom()
        if method is None and path is None:
            raise ScriptError("on() wants a method, a path, or both")
        if path is None and method is not None and method.startswith("/"):
            method, path = None, method
        return Part(scripted, replace(scope, method=method and method.upper(), path=path))

    def is_healthy(self, is_so: bool = True, *, for_: float | None = None) -> None:  # noqa: FBT001, FBT002
        """What active health checks are answered, for so many seconds (default: from now on).

        Without it they are answered well, as long as the upstream can be reached. They are no part of any script:
        no count counts them, and they are kept in `health_checks`.
        """
        scripted, scope = self._whom()
        scripted._set_health(scope, is_so=is_so, for_=for_)  # noqa: SLF001


class Part(Scoped):
    """A part of an upstream, or of its requests, to say something about."""

    __slots__ = ("_scope", "_scripted")

    def __init__(self, scripted: Scripted, scope: Scope) -> None:
        self._scripted = scripted
        self._scope = scope

    def _whom(self) -> tuple[Scripted, Scope]:
        return self._scripted, self._scope

    def __repr__(self) -> str:
        return self._scope.code(self._scripted.code_name)


class Line:
    """The scripts of one scope: the one said last, and what goes on when that is over."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.current: Script[Step] | None = None
        self.base: Script[Step] | None = None

    def begin(self, now: float) -> Script[Step]:
        """Start a new script."""
        self.keep_usual(now)
        self.current = Script(now)
        return self.current

    def keep_usual(self, now: float) -> None:
        """Let the current script go, and keep the end of it where that is what is usual."""
        if self.current is not None and self.current.steps[-1].is_usual:
            self.current.settle(now)
            self.base = self.current
        self.current = None

    def live(self, endpoint: int, now: float) -> Run[Step] | None:
        """Return the run that decides now."""
        return next(self._runs((self.current, self.base), endpoint, now), None)

    def turn(self, endpoint: int, now: float) -> Turn | None:
        """Return the run that decides now, and its step."""
        return _turn(self.live(endpoint, now), now)

    def usual(self, endpoint: int, now: float, instead_of: Run[Step]) -> Turn | None:
        """Return the run that says what is answered when nothing is wrong, and its step."""
        usual = (each for each in (self.current, self.base) if each is not None and each.steps[-1].is_usual)
        runs = (run for run in self._runs(usual, endpoint, now) if run is not instead_of)
        return next((turn for run in runs if (turn := _turn(run, now)) is not None and turn[1].is_usual), None)

    def _runs(self, scripts: Iterable[Script[Step] | None], endpoint: int, now: float) -> Iterator[Run[Step]]:
        for script in scripts:
            if script is not None:
                run = script.run(endpoint if self.scope.each else None)
                if run.current(now) is not None:
                    yield run


def _turn(run: Run[Step] | None, now: float) -> Turn | None:
    step = run.current(now) if run is not None else None
    return None if run is None or step is None else (run, step)
