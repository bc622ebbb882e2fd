"""What DNS says about an upstream: the same sentences, for its names. `upstream.dns.fails(for_=10)`.

`dns.py` serves it on a real port; the simulated network asks `Names.answer` itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

from .misuse import ScriptError
from .steps import Hints, Script, check_bounds, check_words, code

if TYPE_CHECKING:
    from .script import Scripted

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesStep:
    """What the name server does with queries: addresses of `endpoints` (`None`: of all) for `ttl` seconds, or not."""

    said: str = ""
    times: int | None = None
    for_: float | None = None
    seed: int | None = None
    kind: Literal["addresses", "failure", "silence", "no such name"] = "addresses"
    endpoints: tuple[int, ...] | None = None
    ttl: float | None = None


def name_verb(
    make: Callable[Concatenate[Any, P], NamesStep],
) -> Callable[Concatenate[Any, P], NamesSentence]:
    """Turn a method that makes a step into one that says it."""

    @functools.wraps(make)
    def say(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> NamesSentence:
        check_words(make, kwargs)
        step = make(self, *args, **kwargs)
        check_bounds(f"dns.{make.__name__}", step.times, step.for_)
        said: NamesSentence = self._say(replace(step, said=code(make.__name__, args, kwargs)))
        return said

    return say


class NameVerbs(Hints):
    """What can be said of an upstream's names; `times` counts queries for addresses, `for_` is in seconds."""

    __slots__ = ()

    def _say(self, step: NamesStep) -> NamesSentence:
        raise NotImplementedError

    @name_verb
    def answers(
        self, *endpoints: int, ttl: float | None = None, times: int | None = None, for_: float | None = None
    ) -> NamesStep:
        """Answer with the addresses of these endpoints, by number; with none, that the name has no address."""
        return NamesStep(endpoints=endpoints, ttl=ttl, times=times, for_=for_)

    @name_verb
    def fails(self, times: int | None = None, *, for_: float | None = None) -> NamesStep:
        """Answer SERVFAIL."""
        return NamesStep(kind="failure", times=times, for_=for_)

    @name_verb
    def times_out(self, times: int | None = None, *, for_: float | None = None) -> NamesStep:
        """Answer nothing at all."""
        return NamesStep(kind="silence", times=times, for_=for_)

    @name_verb
    def has_no_such_name(self, times: int | None = None, *, for_: float | None = None) -> NamesStep:
        """Answer NXDOMAIN."""
        return NamesStep(kind="no such name", times=times, for_=for_)

    @name_verb
    def recovers(self) -> NamesStep:
        """Answer with the addresses of all endpoints, as without any script."""
        return NamesStep()


class Names(NameVerbs):
    """The names of one upstream: told by verbs, asked by whoever resolves."""

    def __init__(self, scripted: Scripted) -> None:
        self._scripted = scripted
        self._current: Script[NamesStep] | None = None
        self.queries: list[float] = []
        """When addresses were asked for, by the upstream's clock."""
        self._known: set[str] = set()

    def serves(self, *names: str) -> None:
        """Answer for these names only: any other does not exist. Without it every name is the upstream's."""
        self._known.update(name.rstrip(".").lower() for name in names)

    def knows(self, name: str) -> bool:
        """Whether `name` is the upstream's."""
        return not self._known or name.rstrip(".").lower() in self._known

    def answer(self, now: float, *, counted: bool = True) -> NamesStep:
        """Decide about one query, and count it unless told otherwise (the second of a pair, for other addresses)."""
        with self._scripted._script_lock:  # noqa: SLF001
            if counted:
                self.queries.append(now)
            run = self._current.run(None) if self._current is not None else None
            step = run.current(now) if run is not None else None
            if run is None or step is None:
                return NamesStep()
            if counted:
                run.use(now)
            return step

    @property
    def code_name(self) -> str:
        """The code that stands for it."""
        return f"{self._scripted.code_name}.dns"

    def endpoints(self, step: NamesStep) -> tuple[int, ...]:
        """Return the numbers of the endpoints that `step` tells."""
        return tuple(range(self._scripted.endpoint_count)) if step.endpoints is None else step.endpoints

    def _say(self, step: NamesStep) -> NamesSentence:
        script: Script[NamesStep] = Script(self._scripted._clock())  # noqa: SLF001
        sentence = NamesSentence(self, script)
        sentence.add(step)
        self._current = script
        return sentence

    def _check(self, step: NamesStep) -> None:
        for number in step.endpoints or ():
            try:
                self._scripted._check_endpoint(number)  # noqa: SLF001
            except ScriptError as error:
                raise ScriptError(f"{self.code_name}.{step.said}: {error}") from None


class NamesSentence:
    """What was said of names; goes on with `.then`, and its repr is the code for it."""

    __slots__ = ("_names", "_script")

    def __init__(self, names: Names, script: Script[NamesStep]) -> None:
        self._names = names
        self._script = script

    def add(self, step: NamesStep) -> None:
        """Go on with `step`."""
        self._names._check(step)  # noqa: SLF001
        self._script.add(step, self._names.code_name)

    @property
    def then(self) -> NamesThen:
        """Go on: what follows has its turn when all before it is over."""
        return NamesThen(self)

    @property
    def steps(self) -> tuple[NamesStep, ...]:
        """What was said so far, as data."""
        return tuple(self._script.steps)

    def __repr__(self) -> str:
        return self._script.code(self._names.code_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamesSentence) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(tuple(step.said for step in self.steps))


class NamesThen(NameVerbs):
    """The verbs, for a sentence that goes on."""

    __slots__ = ("_sentence",)

    def __init__(self, sentence: NamesSentence) -> None:
        self._sentence = sentence

    def _say(self, step: NamesStep) -> NamesSentence:
        self._sentence.add(step)
        return self._sentence
