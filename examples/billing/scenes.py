"""What the demo shows: each scene prepares the upstreams, names the calls, and says what must have come of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ambassador_lib import CircuitOpenError, PerTryTimeoutError
from ambassador_lib.testing import Reaction, Seen, drip, reply

from .stage import Stage, failing_at_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambassador_lib.call import Attempt, CallReport

PIECES = (b"january ", b"february ", b"march ", b"april ")


@dataclass
class Told:
    """What the application knows of one call when it is over."""

    call_id: str
    report: CallReport
    status: int | None = None
    error: Exception | None = None
    body: bytes = b""
    first_piece: float | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """True where the application was left with a failure."""
        return self.error is not None or (self.status or 0) >= 500

    @property
    def tries(self) -> list[Attempt]:
        """The tries for which an endpoint was chosen."""
        return [attempt for attempt in self.report.attempts if attempt.endpoint is not None]

    @property
    def outcomes(self) -> list[int | str | None]:
        """How the tries ended: statuses, and the names of exceptions."""
        return [
            type(attempt.outcome).__name__ if isinstance(attempt.outcome, BaseException) else attempt.outcome
            for attempt in self.tries
        ]


@dataclass(frozen=True)
class Scene:
    """One thing to show.

    `calls` are made one after the other by the blocking client; the asynchronous client makes `demo.AT_ONCE` together.
    `check` raises `AssertionError` where something did not behave as announced.
    """

    title: str
    prepare: Callable[[Stage], None]
    check: Callable[[Stage, list[Told]], None]
    calls: int = 1
    method: str = "GET"
    path: str = "/charges"
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    stream: bool = False
    wait: float = 0.0
    """Seconds to let pass before the calls."""


def expect(condition: object, announced: str, told: Told | None = None) -> None:
    """Raise unless the announcement came true."""
    if not condition:
        raise AssertionError(f"{announced}: {told.report}" if told is not None else announced)


# --- one call after the other, what must be true of it ---------------------------------------------------------------


def check_healthy(stage: Stage, calls: list[Told]) -> None:
    """Each call took one try, and the upstream saw our certificate."""
    for told in calls:
        expect(told.status == 200 and told.outcomes == [200], "one try, one 200", told)
        expect([seen.client for seen in stage.seen(told.call_id)] == ["billing-app"], "the client's certificate", told)


def check_two_failures(stage: Stage, calls: list[Told]) -> None:
    """Each call took three tries, and both sides tell the same story."""
    for told in calls:
        expect(told.status == 200 and told.outcomes == [503, 503, 200], "503, 503, 200", told)
        expect([seen.answered for seen in stage.seen(told.call_id)] == [503, 503, 200], "the upstreams agree", told)


def kill_beta(stage: Stage) -> None:
    """Vanish, as a killed process does."""
    stage.all_answer()
    stage.upstreams[1].is_down()


def check_killed(stage: Stage, calls: list[Told]) -> None:
    """Every call succeeded, and what failed on the way failed at the killed endpoint."""
    dead = stage.upstreams[1].address
    for told in calls:
        expect(told.status == 200, "ridden out", told)
        for attempt in told.tries:
            expect((attempt.status == 200) == (attempt.endpoint != dead), "only the killed endpoint fails", told)
        expect(len(stage.seen(told.call_id)) == 1, "one request arrived", told)
    expect(any(len(told.tries) > 1 for told in calls), "at least one call met the killed endpoint")


def hang_beta(stage: Stage) -> None:
    """Take requests and never answer."""
    stage.all_answer()
    stage.upstreams[1].hangs()


def check_hanging(stage: Stage, calls: list[Told]) -> None:
    """Every call succeeded, and what hung was cut after the per-try timeout."""
    slow = stage.upstreams[1].address
    for told in calls:
        expect(told.status == 200, "ridden out", told)
        for attempt in told.tries:
            expect((attempt.endpoint == slow) == isinstance(attempt.error, PerTryTimeoutError), "cut", told)
            expect(attempt.endpoint != slow or 0.9 < (attempt.duration or 0) < 1.9, "cut after about 1 s", told)
    met = sum(len(told.tries) > 1 for told in calls)
    expect(0 < met == len(stage.upstreams[1].requests), "each hanging request belongs to a call that was retried")


def check_post_without_key(stage: Stage, calls: list[Told]) -> None:
    """Each failure was handed on, since a repeated POST might charge twice."""
    for told in calls:
        expect(told.status == 503 and told.outcomes == [503], "the 503 comes through, after one try", told)
        expect(told.report.attempts[-1].not_retried_because, "the report says why", told)
        expect(len(stage.seen(told.call_id)) == 1, "the upstreams saw it once", told)


def check_post_with_key(stage: Stage, calls: list[Told]) -> None:
    """Both tries of a call carried what tells the upstream that they are one order."""
    for told in calls:
        seen = stage.seen(told.call_id)
        expect(told.status == 201 and told.outcomes == [503, 201], "503, then 201", told)
        expect([each.header("idempotency-key") for each in seen] == ["order-4711"] * 2, "the same key twice", told)
        expect([each.body for each in seen] == [b'{"amount": 12}'] * 2, "the same body twice", told)


# --- the breaker ----------------------------------------------------------------------------------------------------


def check_opens(stage: Stage, calls: list[Told]) -> None:
    """Enough failures were seen to open the breaker."""
    for told in calls:
        expect(told.status == 503 or isinstance(told.error, CircuitOpenError), "a 503, or refused already", told)
    failed = [told for told in calls if told.status == 503]
    expect(len(failed) >= 4, "the breaker wants four requests before it judges")
    expect(all(len(stage.seen(told.call_id)) == 1 for told in failed), "one request each")


def check_refuses(stage: Stage, calls: list[Told]) -> None:
    """No call got as far as an upstream."""
    for told in calls:
        expect(isinstance(told.error, CircuitOpenError), "refused by the breaker", told)
        expect(not stage.seen(told.call_id), "nothing reaches an upstream", told)
        expect(told.seconds < 0.25, "at once", told)


def answer_slowly(stage: Stage) -> None:
    """Answer well, but take long enough that calls made at once meet the probe under way."""
    stage.all_answer(reply(after=0.2))


def check_probes(stage: Stage, calls: list[Told]) -> None:
    """However many calls came at once, one went through."""
    probes = [told for told in calls if told.status == 200]
    expect(len(probes) == 1, f"exactly one probe goes through, not {len(probes)}")
    expect(sum(len(stage.seen(told.call_id)) for told in calls) == 1, "the upstreams saw one request")
    expect(all(told in probes or isinstance(told.error, CircuitOpenError) for told in calls), "others are refused")


# --- a stream -------------------------------------------------------------------------------------------------------


def fail_then_drip(stage: Stage) -> None:
    """Fail the first try of each call, then answer piece by piece."""
    first = failing_at_first(1)
    dripping = drip(*PIECES, pause=0.1)

    def answer(seen: Seen) -> Reaction:
        reaction = first(seen)
        return dripping if reaction.status == 200 else reaction

    stage.all_answer(answer)


def check_stream(stage: Stage, calls: list[Told]) -> None:
    """Each call was retried before its first byte, and then passed on as it came."""
    for told in calls:
        expect(told.outcomes == [503, 200] and told.body == b"".join(PIECES), "retried, then whole", told)
        finished = stage.seen(told.call_id)[-1].finished
        expect(finished and told.first_piece and told.first_piece < finished, "passed on as it comes", told)


def all_well(stage: Stage) -> None:
    """Answer well everywhere."""
    stage.all_answer()


def all_fail(stage: Stage) -> None:
    """Fail everywhere."""
    stage.all_answer(503)


SETTLE = "/charges/settle"

SCENES = (
    Scene("a healthy call", all_well, check_healthy),
    Scene("two 503s, then success", lambda stage: stage.all_answer(failing_at_first(2)), check_two_failures),
    Scene("one of three endpoints killed: the others ride it out", kill_beta, check_killed, calls=3),
    Scene("one of three endpoints hangs: cut by the per-try timeout", hang_beta, check_hanging, calls=3),
    Scene(
        "a POST without an Idempotency-Key is not retried",
        lambda stage: stage.all_answer(failing_at_first(1)),
        check_post_without_key,
        method="POST",
        content=b'{"amount": 12}',
    ),
    Scene(
        "a POST with an Idempotency-Key is, with the same key on both tries",
        lambda stage: stage.all_answer(failing_at_first(1)),
        check_post_with_key,
        method="POST",
        headers={"idempotency-key": "order-4711"},
        content=b'{"amount": 12}',
    ),
    Scene("settlement fails and fails: its breaker opens", all_fail, check_opens, calls=4, path=SETTLE),
    Scene("the open breaker refuses at once", all_well, check_refuses, path=SETTLE),
    Scene("a second later one probe goes through", answer_slowly, check_probes, path=SETTLE, wait=1.1),
    Scene("and the breaker is closed", all_well, check_healthy, path=SETTLE),
    Scene("a stream through all layers", fail_then_drip, check_stream, path="/charges/report", stream=True),
)
