"""Steps of a script as data, and the cursor that moves over them as requests come and time passes."""

from __future__ import annotations

import difflib
import inspect
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, TypeVar

from .latency import RandomNumbers, Seconds
from .misuse import ScriptError, nearest

if TYPE_CHECKING:
    from .faults import Answer, Ending, Place

ConnectionFault = Literal["down", "refuse", "black hole", "tls failure"]


class Bounded(Protocol):
    """What the cursor must know of a step."""

    @property
    def said(self) -> str: ...
    @property
    def times(self) -> int | None: ...
    @property
    def for_(self) -> float | None: ...
    @property
    def seed(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One clause of a script.

    A request gets the next of `answers` (the last goes on), or without any the healthy answer; then it is broken off
    at `place` with `ending`, lied about by `lie` bytes, made later by `after` and by `load` (a base, and seconds per
    request under way). With `fault`, connections are meant, not requests; with `schedule` (seconds up, seconds down)
    in turns.
    """

    said: str = ""
    times: int | None = None
    for_: float | None = None
    probability: float | None = None
    seed: int | None = None
    answers: tuple[Answer, ...] = ()
    place: Place = "after body"
    ending: Ending = "keep"
    lie: int | None = None
    after: Seconds = 0.0
    load: tuple[float, float] | None = None
    fault: ConnectionFault | None = None
    schedule: tuple[float, float] | None = None
    is_usual: bool = False
    """What goes on when later scripts are over: an unbounded `replies`."""
    recovers: bool = False

    @property
    def changes_answers(self) -> bool:
        """Whether requests are answered otherwise than usual."""
        return (self.place, self.ending, self.lie, self.after, self.load) != ("after body", "keep", None, 0.0, None)


S = TypeVar("S", bound=Bounded)


class Script(Generic[S]):
    """A sentence: its steps, and how far each of those who follow it has come (`None`: all together)."""

    def __init__(self, begins: float) -> None:
        self.steps: list[S] = []
        self.begins = begins
        self.fired: set[int] = set()
        """Which steps have happened."""
        self._runs: dict[int | None, Run[S]] = {}
        self._begins_with = 0

    def add(self, step: S, where: str) -> None:
        """Go on with `step`; `where` is the code before the first."""
        if self.steps and is_endless(self.steps[-1]):
            raise ScriptError(
                f"{self.code(where)} has no end, so {step.said} after it can never fire: "
                f"bound {self.steps[-1].said} with times= or for_="
            )
        self.steps.append(step)

    def run(self, who: int | None) -> Run[S]:
        """Return how far `who` has come."""
        if who not in self._runs:
            self._runs[who] = Run(self, who, self._begins_with)
        return self._runs[who]

    def settle(self, now: float) -> None:
        """Leave out all but the last step, for everybody who has not come so far."""
        self._begins_with = len(self.steps) - 1
        self.begins = now
        for run in self._runs.values():
            run.settle(now)

    def code(self, where: str) -> str:
        """Return the code that says it."""
        return ".".join([where, ".then.".join(step.said for step in self.steps)])


class Run(Generic[S]):
    """A cursor over steps."""

    def __init__(self, script: Script[S], who: int | None, index: int) -> None:
        self._script = script
        self._steps = script.steps
        self._who = who
        self._index = index
        self.began = script.begins
        """When the step in turn had its turn, by the upstream's clock."""
        self._last = script.begins
        self._generator: random.Random | None = None
        self.used = 0
        """How often the step in turn was used."""
        self.follows_count = False
        """Whether the step in turn came because those before were used up; else it is time that brought it."""

    def current(self, now: float) -> S | None:
        """Return the step whose turn it is, `None` where the script is over."""
        while self._index < len(self._steps):
            step = self._steps[self._index]
            if step.for_ is not None and now >= self.began + step.for_:
                self._go_on(self.began + step.for_, by_count=False)
            elif step.times is not None and self.used >= step.times:
                self._go_on(self._last, by_count=True)
            else:
                return step
        return None

    def use(self, now: float) -> None:
        """One more request, or connection, is served by the current step."""
        self.used += 1
        self._last = now
        self.fires()

    def fires(self) -> None:
        """The current step has happened to somebody."""
        self._script.fired.add(self._index)

    def settle(self, now: float) -> None:
        """Go on with the last step."""
        while self.current(now) is not None and self._index < len(self._steps) - 1:
            self._go_on(now, by_count=False)

    def ahead(self, now: float) -> list[tuple[float, S]]:
        """Return the steps that time will bring, with the time when each begins: up to one that waits for a count."""
        step = self.current(now)
        coming = []
        index, at = self._index, self.began
        while step is not None:
            coming.append((at, step))
            index += 1
            if step.for_ is None or index >= len(self._steps):
                break
            at, step = at + step.for_, self._steps[index]
        return coming

    def random(self, step: S, otherwise: RandomNumbers) -> RandomNumbers:
        """Return what decides: the step's own generator where it has a seed."""
        if step.seed is None:
            return otherwise
        if self._generator is None:
            self._generator = random.Random(step.seed if self._who is None else f"{step.seed}/{self._who}")
        return self._generator

    def _go_on(self, at: float, *, by_count: bool) -> None:
        self._index += 1
        self.began = self._last = at
        self.used = 0
        self.follows_count = by_count
        self._generator = None


def is_on(step: Step, since: float) -> bool:
    """Whether a fault of connections holds, so many seconds after its turn came: flapping, it does at times."""
    return step.schedule is None or since % sum(step.schedule) >= step.schedule[0]


def next_down(schedule: tuple[float, float], began: float, now: float) -> float:
    """Return when flapping brings the next failure: `now` within one."""
    up, down = schedule
    rounds = max(0.0, now - began) // (up + down)
    return max(now, began + rounds * (up + down) + up)


def next_switch(schedule: tuple[float, float], began: float, now: float) -> float:
    """Return when flapping next goes up or down, after `now`."""
    up, down = schedule
    rounds = (now - began) // (up + down)
    falls = began + rounds * (up + down) + up
    return falls if falls > now else falls + down


def is_endless(step: Bounded) -> bool:
    """Whether nothing ever follows `step`."""
    return step.times is None and step.for_ is None


def check_bounds(
    what: str, times: int | None, for_: float | None, probability: float | None = None, seed: int | None = None
) -> None:
    """Refuse what makes a step fire never, or is no number."""
    if times is not None and (type(times) is not int or times < 1):
        raise ScriptError(f"{what}: times={times!r} can never fire; it wants a whole number from 1")
    if for_ is not None and not for_ > 0:
        raise ScriptError(f"{what}: for_={for_!r} can never fire; it wants seconds above 0")
    if probability is not None and not 0 < probability <= 1:
        why = "can never fire" if probability == 0 else "is no probability"
        raise ScriptError(f"{what}: probability={probability!r} {why}; it wants a number above 0, at most 1")
    if seed is not None and probability is None:
        raise ScriptError(f"{what}: seed={seed!r} seeds nothing without probability=")


def check_words(make: Callable[..., object], given: Iterable[str]) -> None:
    """Refuse words that a verb does not have, with the nearest that it has."""
    words = list(inspect.signature(make).parameters)[1:]
    for word in given:
        if word not in words:
            raise TypeError(f"{make.__name__}() has no {word!r}: {nearest(word, words)}")


class Hints:
    """Tells which verb was perhaps meant where there is none of that name."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker would believe that every name is there

        def __getattr__(self, name: str) -> NoReturn:
            what = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name.startswith("_"):
                raise AttributeError(what, name=name, obj=self)
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"{what}{hint}", name=name, obj=self)


def code(name: str, args: Sequence[object], kwargs: dict[str, Any]) -> str:
    """Return a call as it is written."""
    written = [*map(_written, args), *(f"{key}={_written(value)}" for key, value in kwargs.items())]
    return f"{name}({', '.join(written)})"


def _written(value: object) -> str:
    return getattr(value, "__name__", repr(value)) if callable(value) else repr(value)
