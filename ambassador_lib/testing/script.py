"""`Scripted`: what both kinds of upstream are beside their wires: told by sentences, asked what comes next.

Who decides about a request: what was said `on` it before what was said of all requests, an endpoint's own script
before that of `each`, and that before the shared one; in each of them the script said last, and when that is over the
last `replies` without an end. A fault of connections holds wherever it was said.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from dataclasses import replace

from .decisions import Decisions, Recipe
from .faults import Reaction, broken, lying, reply
from .latency import RandomNumbers
from .misuse import ScriptError
from .names import Names
from .seen import Seen
from .sentences import Line, Scope, Scoped, Sentence
from .steps import Script, Step, is_endless

ALL = Scope()
NOT_SERVING, SERVING = b"\0\0\0\0\2\x08\2", b"\0\0\0\0\2\x08\1"


class Scripted(Decisions, Scoped):
    """An upstream that can be told what to do; the base of the real and the simulated one.

    `clock` reads its time in seconds, `random` its dice (default: a generator with a fixed seed). With `strict`, a
    request that nothing was said about is answered 501 and kept in `misuses`; else it is answered 200, with the name.
    `endpoints` is how many it has; by default one, and as many more as `grow` asks for.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        random: RandomNumbers | None = None,
        strict: bool = False,
        endpoints: int | None = None,
    ) -> None:
        if endpoints is not None and endpoints < 1:
            raise ScriptError(f"{name}: endpoints={endpoints!r}; an upstream has at least one")
        super().__init__(name, random if random is not None else random_module.Random(0))
        self.strict = strict
        self.can_grow = endpoints is None
        self._has_grown = False
        self._noted: list[str] = []
        self._clock = clock
        self._count = endpoints or 1
        self._said: list[tuple[Scope, Script[Step]]] = []
        self._health: dict[int | None, tuple[bool, float | None]] = {}
        self._seen: list[Seen] = []
        self._health_checks: list[Seen] = []
        self._listeners: list[Callable[[], None]] = []
        self.dns: Names = Names(self)

    # --- what tests look at ------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Seen]:
        """Every request seen so far, in the order of their arrival; health checks are not among them."""
        with self._script_lock:
            return list(self._seen)

    @property
    def health_checks(self) -> list[Seen]:
        """Every active health check over HTTP seen so far."""
        with self._script_lock:
            return list(self._health_checks)

    @property
    def failures(self) -> int:
        """How many requests were answered with a 5xx, or not as they should."""
        return sum(seen.failed for seen in self.requests)

    @property
    def endpoint_count(self) -> int:
        """How many endpoints it has."""
        return self._count

    @property
    def code_name(self) -> str:
        """The name that stands for it in code."""
        return self.name if self.name.isidentifier() else "upstream"

    @property
    def script(self) -> list[Sentence]:
        """What was said last of all, of each part, in no script's middle: paste it to say the same again."""
        with self._script_lock:
            lines = sorted(self._lines.values(), key=lambda line: line.scope.particular())
            return [Sentence(self, line.scope, line.current) for line in lines if line.current is not None]

    def note(self, misuse: str) -> None:
        """Have a test told, at its end, what was misused."""
        if misuse not in self._noted:
            self._noted.append(misuse)

    @property
    def misuses(self) -> list[str]:
        """What tests should be failed for at their end, in sentences."""
        with self._script_lock:
            lost = [
                f"{script.code(scope.code(self.code_name))} can never fire: {self._has()}"
                for scope, script in self._said
                if scope.endpoint is not None and scope.endpoint >= self._count
            ]
            return [*self._noted, *lost]

    @property
    def unfired(self) -> list[str]:
        """The steps, as code, that have not happened to anybody; usual answers, and what was said `first`, apart."""
        with self._script_lock:
            return [
                f"{scope.code(self.code_name)}.{step.said}"
                for scope, script in self._said
                for number, step in enumerate(script.steps)
                if number not in script.fired
                and not (scope.first or step.is_usual or step.recovers)
                and (scope.endpoint or 0) < self._count
            ]

    def forget(self) -> None:
        """Drop the records of requests; the script goes on."""
        with self._script_lock:
            self._seen.clear()
            self._health_checks.clear()

    def grow(self, count: int) -> None:
        """Have at least `count` endpoints; `ScriptError` where it was made with a number of them that is less."""
        if count > self._count:
            if not self.can_grow:
                raise ScriptError(f"{self.name} was made with endpoints={self._count}, and {count} are wanted")
            self._count = count
        self._has_grown = True

    # --- what its wires ask ------------------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from whatever thread, whenever open connections may have to be cut: ask every peer then."""
        self._listeners.append(listener)

    def reaction(self, seen: Seen, now: float) -> Reaction:
        """Keep a request, decide about it, and count it; `finished` must follow when it is over, in whatever way."""
        with self._script_lock:
            self._under_way[seen.endpoint] += 1
            if seen.is_health_check:
                self._health_checks.append(seen)
                return self._checked(seen, now)
            self._seen.append(seen)
            recipe = self._recipe(seen, now, self._chain(seen.endpoint, seen))
        made = self._made(recipe, seen)
        seen.failed, seen.because = made.fails, made.label
        if any(self.cut(endpoint, now) for endpoint in range(self._count)):
            self._tell()
        return made

    def finished(self, seen: Seen, now: float) -> None:  # noqa: ARG002
        """The request is over: answered, or its client gone."""
        with self._script_lock:
            self._under_way[seen.endpoint] -= 1

    # --- what is said ------------------------------------------------------------------------------------------------

    def _whom(self) -> tuple[Scripted, Scope]:
        return self, ALL

    def _begin(self, scope: Scope, step: Step) -> Sentence:
        self._check(scope, step)
        with self._script_lock:
            if step.recovers:
                for line in self._lines.values():
                    if scope in (ALL, line.scope) and not line.scope.first:
                        line.keep_usual(self._clock())
            line = self._lines[scope] = self._lines.pop(scope, Line(scope))  # what is said last comes last
            script = line.begin(self._clock())
            script.add(step, scope.code(self.code_name))
            self._said.append((scope, script))
        self._tell()
        return Sentence(self, scope, script)

    def _go_on(self, scope: Scope, script: Script[Step], step: Step) -> None:
        self._check(scope, step)
        with self._script_lock:
            script.add(step, scope.code(self.code_name))
        self._tell()

    def _check(self, scope: Scope, step: Step) -> None:
        if scope.first and is_endless(step):
            raise ScriptError(
                f"{scope.code(self.code_name)}.{step.said} has no end, so nothing else that is said could ever fire: "
                f"bound it with times= or for_=, or say it without .first"
            )
        if step.fault is not None and scope.is_about_some_requests:
            raise ScriptError(
                f"{scope.code(self.code_name)}.{step.said} can never fire: nobody knows what will be asked on a "
                f"connection when it is made; say {self.code_name}.{step.said}, or .resets() of these requests"
            )

    def _check_endpoint(self, number: int) -> None:
        is_known = self._has_grown or not self.can_grow
        if number < 0 or (number >= self._count and is_known):
            raise ScriptError(f"{self._has()}, no endpoint({number!r})")

    def _has(self) -> str:
        return f"{self.code_name} has endpoints 0 to {self._count - 1}"

    def _set_health(self, scope: Scope, *, is_so: bool, for_: float | None) -> None:
        if scope.is_about_some_requests or scope.each:
            raise ScriptError("is_healthy is said of an upstream, or of one endpoint")
        with self._script_lock:
            self._health[scope.endpoint] = (is_so, None if for_ is None else self._clock() + for_)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    def _unscripted(self, seen: Seen) -> Reaction:
        if not self.strict:
            return Reaction(body=self.name.encode())
        name = self.code_name
        over = [sentence for sentence in self.script if sentence.ended_for(seen)]
        if over:
            why = f"the script {over[-1]!r} is over; go on with .then, or say first what is usual: {name}.replies(200)"
        elif self._lines:
            why = f"what was said is about other requests or endpoints; say {name}.on({seen.method!r}, {seen.path!r})…"
        else:
            why = f"nothing was said of {name}; say what it answers, for example {name}.replies(200)"
        misuse = f"{name} was asked {seen.method} {seen.target}, and nobody scripted that: {why}"
        self._noted.append(misuse)
        return reply(501, text=misuse)

    def _made(self, recipe: Recipe, seen: Seen) -> Reaction:
        answer = recipe.answer
        try:
            answer = answer(seen) if callable(answer) else answer
        except Exception as error:  # noqa: BLE001 - the test is told at its end
            misuse = f"{self.name}: the function that answers {seen.method} {seen.target} raised {error!r}"
            self._noted.append(misuse)
            answer = reply(500, text=misuse)
        made = reply(answer) if isinstance(answer, int) else answer
        for step in recipe.steps:
            if step.place != "after body" or step.ending != "keep":
                made = broken(made, step.place, step.ending)
            if step.lie is not None:
                made = lying(made, step.lie)
        return replace(made, delay=made.delay + recipe.delay, label=recipe.label)

    def _checked(self, seen: Seen, now: float) -> Reaction:
        """Answer a health check, over gRPC in its protocol."""
        said = (self._health.get(endpoint) for endpoint in (seen.endpoint, None))
        well = next((so for so, until in filter(None, said) if until is None or now < until), True)
        if (seen.header("content-type") or "").startswith("application/grpc"):
            return Reaction(
                headers=(("content-type", "application/grpc"),),
                body=(SERVING if well else NOT_SERVING,),
                trailers=(("grpc-status", "0"),),
            )
        return reply(200 if well else 503)
