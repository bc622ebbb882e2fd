"""Sentences about an upstream: in what order, how often and how long each step has its turn, and what is refused."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib import testing
from ambassador_lib.testing import MisuseError, Reaction, ScriptError, Seen, hang, reply
from ambassador_lib.testing.script import Scripted
from ambassador_lib.testing.sentences import Sentence

SECONDS = st.floats(0.01, 100.0)


class World:
    """An upstream without wires, and a clock that tests move."""

    def __init__(self, *, strict: bool = False, endpoints: int | None = None) -> None:
        self.now = 1000.0
        self.payment = Scripted("payment", clock=lambda: self.now, strict=strict, endpoints=endpoints)

    def ask(
        self, path: str = "/", method: str = "GET", endpoint: int = 0, *, stay: bool = False, agent: str = "test"
    ) -> Reaction:
        """Let one request come, and be over at once unless it is to `stay`."""
        seen = Seen(method, path, [("user-agent", agent)], b"", 1, self.now, endpoint=endpoint)
        reaction = self.payment.reaction(seen, self.now)
        if not stay:
            self.payment.finished(seen, self.now)
        return reaction

    def statuses(self, count: int, **request: Any) -> list[int]:
        """Ask so many times."""
        return [self.ask(**request).status for _ in range(count)]

    def connect(self, endpoint: int = 0) -> str:
        """Let one connection come."""
        return self.payment.reception(endpoint, self.now).kind


# --- counts, times, order -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(400, 599), st.integers(1, 5)), min_size=1, max_size=5), st.integers(200, 299))
def test_steps_have_their_turn_in_order_and_as_often_as_said(steps: list[tuple[int, int]], last: int) -> None:
    """Each counted step answers as many requests as it says, then the next does; the last goes on."""
    world = World()
    said: Any = world.payment
    for status, times in steps:
        said = said.fails(times, status=status).then
    said.replies(status=last)
    expected = [status for status, times in steps for _ in range(times)] + [last] * 3
    assert world.statuses(len(expected)) == expected


@given(st.lists(SECONDS, min_size=1, max_size=5), st.lists(st.floats(0.0, 600.0), min_size=1, max_size=20))
def test_steps_last_as_long_as_said(lengths: list[float], moments: list[float]) -> None:
    """At any moment it is the turn of the step whose seconds it is, however many requests came before."""
    world = World()
    said: Any = world.payment
    for number, length in enumerate(lengths):
        said = said.fails(status=500 + number, for_=length).then
    said.replies(200)
    ends = []
    at = 1000.0
    for length in lengths:
        at += length
        ends.append(at)
    for moment in sorted(moments):
        world.now = 1000.0 + moment
        turn = next((number for number, end in enumerate(ends) if world.now < end), None)
        assert world.ask().status == (200 if turn is None else 500 + turn)


def test_several_answers_come_in_turn_and_the_last_goes_on() -> None:
    """Statuses, reactions and functions of the request may be mixed."""
    world = World()
    world.payment.replies(503, reply(404, text="gone"), lambda seen: 201 if seen.path == "/made" else 204)
    assert world.statuses(2) == [503, 404]
    assert (world.ask("/made").status, world.ask().status) == (201, 204)


def test_what_ends_first_ends_a_step() -> None:
    """With `times` and `for_` both, the step is over at whichever comes first."""
    world = World()
    world.payment.fails(2, for_=10).then.replies(200)
    assert world.statuses(3) == [503, 503, 200]
    world.payment.fails(2, for_=10).then.replies(201)
    world.ask()
    world.now += 10
    assert world.ask().status == 201


def test_time_of_a_step_begins_with_its_turn() -> None:
    """`for_` counts from when the steps before were used up, not from when it was said."""
    world = World()
    world.payment.fails(1).then.fails(status=500, for_=5).then.replies(200)
    world.now += 100
    assert world.ask().status == 503
    world.now += 4.9
    assert world.ask().status == 500
    world.now += 0.2
    assert world.ask().status == 200


def test_a_new_sentence_begins_anew_and_what_was_usual_comes_back() -> None:
    """A bounded script interrupts what an upstream usually answers; an unbounded one replaces it."""
    world = World()
    world.payment.replies(json={"a": 1})
    world.payment.fails(1)
    assert [world.ask().status, world.ask().body] == [503, b'{"a": 1}']
    world.payment.fails(for_=3)
    world.now += 3
    assert world.ask().body == b'{"a": 1}'
    world.payment.replies(204)
    assert world.ask().status == 204


def test_only_the_end_of_a_script_is_usual() -> None:
    """What was still to fail when something else was said will not come back; what comes in turn goes on in turn."""
    world = World(endpoints=2)
    for part in (world.payment, world.payment.each):
        part.fails(5).then.replies(201, 202)
        world.ask()
        part.is_slow(1.0, times=1)
        slow = world.ask()
        assert (slow.status, slow.delay) == (201, 1.0)
        assert world.statuses(2) == [202, 202]
        assert world.ask(endpoint=1).status == (202 if part is world.payment else 201)


def test_recovers_takes_every_fault_back() -> None:
    """Faults of endpoints and of some requests too; usual answers stay."""
    world = World(endpoints=2)
    world.payment.replies(202)
    world.payment.on("POST").replies(201)
    world.payment.on("POST").fails()
    world.payment.endpoint(1).fails(status=500)
    world.payment.is_down()
    world.payment.recovers()
    assert (world.connect(), world.ask().status, world.ask(endpoint=1).status) == ("accept", 202, 202)
    assert world.ask(method="POST").status == 201


# --- whom a sentence is about -----------------------------------------------------------------------------------------


def test_some_requests_have_a_script_of_their_own() -> None:
    """By method, by path, by both; a path may be a glob; what nothing matches has the common script."""
    world = World()
    world.payment.replies(200)
    world.payment.on("POST", "/charges").fails(1).then.replies(201)
    world.payment.on("/refunds/*").replies(404)
    world.payment.on(method="delete").replies(405)
    assert world.statuses(2, method="POST", path="/charges") == [503, 201]
    assert world.ask("/charges?page=2").status == 200
    assert world.ask("/refunds/7").status == 404
    assert world.ask("/anything", "DELETE").status == 405


def test_a_shared_script_counts_all_endpoints_together_and_each_counts_for_itself() -> None:
    """The same sentence with and without `each`."""
    world = World(endpoints=2)
    world.payment.fails(2).then.replies(200)
    assert [world.ask(endpoint=number % 2).status for number in range(4)] == [503, 503, 200, 200]
    world.payment.recovers()
    world.payment.each.fails(2).then.replies(200)
    assert [world.ask(endpoint=number % 2).status for number in range(6)] == [503, 503, 503, 503, 200, 200]


def test_one_endpoint_fails_alone() -> None:
    """`endpoint(1)` says nothing about endpoint 0, and goes before what is said of all."""
    world = World(endpoints=2)
    world.payment.replies(200)
    world.payment.endpoint(1).is_down(for_=5).then.fails(1)
    assert (world.connect(0), world.connect(1)) == ("accept", "refuse")
    world.now += 5
    assert (world.connect(1), world.statuses(2, endpoint=1)) == ("accept", [503, 200])


def test_first_goes_before_everything_and_leaves_it_as_it_was() -> None:
    """Also before scripts of some requests; `works` lets requests through to them."""
    world = World()
    world.payment.on("POST").replies(201, 202)
    world.payment.replies(204)
    world.payment.first.fails(1).then.works(1).then.truncates(1)
    assert world.statuses(2, method="POST") == [503, 201]
    broken = world.ask()
    assert (broken.ending, broken.place) == ("close", "in body")
    assert world.statuses(1, method="POST") == [202]
    with pytest.raises(ScriptError, match=r"payment\.first\.fails\(\) has no end"):
        world.payment.first.fails()


# --- probability, latency, load ---------------------------------------------------------------------------------------


@given(st.floats(0.01, 1.0), st.integers(0, 2**32))
def test_the_same_seed_fails_the_same_requests(probability: float, seed: int) -> None:
    """Two upstreams with one seed agree request by request; what is not hit is answered as usual."""
    traces = []
    for _ in range(2):
        world = World()
        world.payment.replies(201)
        world.payment.fails(probability=probability, seed=seed)
        traces.append(world.statuses(30))
    assert traces[0] == traces[1]
    assert set(traces[0]) <= {201, 503}
    dice = random.Random(seed)
    assert traces[0] == [503 if dice.random() < probability else 201 for _ in range(30)]


def test_dice_without_a_seed_are_the_upstreams_own() -> None:
    """Seeded by default: two upstreams that are told the same do the same; and about as often as said."""
    traces = []
    for _ in range(2):
        world = World()
        world.payment.fails(probability=0.3)
        traces.append(world.statuses(1000))
    assert traces[0] == traces[1]
    assert 250 < Counter(traces[0])[503] < 350


def test_each_endpoint_throws_dice_of_its_own() -> None:
    """One seed, yet endpoints do not fail in step."""
    world = World(endpoints=2)
    world.payment.each.fails(probability=0.5, seed=1)
    assert world.statuses(30, endpoint=0) != world.statuses(30, endpoint=1)


def test_slowness_is_added_to_what_is_usual() -> None:
    """`is_slow` keeps the answers; the numbers come from the upstream's dice."""
    world = World()
    world.payment.replies(json=1, after=1.0)
    world.payment.is_slow(testing.uniform(2.0, 3.0), times=2)
    first, second, third = (world.ask() for _ in range(3))
    assert first.body == second.body == third.body == b"1"
    assert 3.0 <= first.delay < 4.0 != first.delay
    assert first.delay != second.delay
    assert third.delay == 1.0


def test_a_brown_out_slows_with_load() -> None:
    """Each request that is under way already makes the next one later, and those that are over do not."""
    world = World()
    world.payment.browns_out(base=0.5, per_request=2.0)
    assert [world.ask(stay=True).delay for _ in range(3)] == [0.5, 2.5, 4.5]
    for seen in world.payment.requests:
        world.payment.finished(seen, world.now)
    assert world.ask().delay == 0.5


def test_load_of_one_endpoint_is_its_own_where_it_is_said_so() -> None:
    """Shared, the whole upstream's load counts."""
    for part, expected in ((lambda payment: payment.each, 0.0), (lambda payment: payment, 1.0)):
        world = World(endpoints=2)
        part(world.payment).browns_out(base=0.0, per_request=1.0)
        world.ask(stay=True, endpoint=0)
        assert world.ask(endpoint=1).delay == expected


# --- connections ------------------------------------------------------------------------------------------------------


def test_connections_are_counted_as_requests_are() -> None:
    """A script may go from connections to requests and back."""
    world = World()
    world.payment.refuses(2).then.fails(1).then.black_holes(1).then.fails_handshake(1).then.replies(200)
    assert [world.connect() for _ in range(4)] == ["refuse", "refuse", "accept", "accept"]
    assert world.ask().status == 503
    assert [world.connect() for _ in range(3)] == ["black hole", "tls failure", "accept"]
    assert world.ask().status == 200


def test_open_connections_are_cut_when_it_is_time() -> None:
    """At once where time or the test brings the fault, as soon as they are idle where a count does."""
    world = World()
    payment = world.payment
    payment.replies(for_=10, status=200).then.is_down(for_=5)
    assert (payment.cut(0, 1000.0), payment.next_cut(0, 1000.0)) == ("", 1010.0)
    assert (payment.cut(0, 1010.0), payment.cut(0, 1015.0), payment.next_cut(0, 1015.0)) == ("now", "", None)
    payment.refuses(1)
    assert payment.cut(0, world.now) == "idle"
    payment.fails(1).then.is_down()
    assert payment.cut(0, world.now) == ""
    world.ask()
    assert payment.cut(0, world.now) == "idle"


@given(up=SECONDS, down=SECONDS, moments=st.lists(st.floats(0, 1000), max_size=20))
def test_flapping_keeps_its_schedule(up: float, down: float, moments: list[float]) -> None:
    """Up, down, up, down: at any moment as the sum of the seconds says, and `next_cut` foretells it."""
    world = World()
    world.payment.flaps(up=up, down=down)
    for moment in sorted(moments):
        world.now = 1000.0 + moment
        is_down = (world.now - 1000.0) % (up + down) >= up
        assert world.connect() == ("refuse" if is_down else "accept")
        assert world.payment.cut(0, world.now) == ("now" if is_down else "")
        foretold = world.payment.next_cut(0, world.now)
        assert foretold is not None
        assert world.now <= foretold <= world.now + up * 1.001 + 1e-6


def test_flapping_ends_after_its_rounds() -> None:
    """`times` counts rounds of up and down; afterwards all is well."""
    world = World()
    world.payment.flaps(up=5, down=2, times=2)
    found = []
    for _ in range(16):
        found.append(world.connect() == "accept")
        world.now += 1
    assert found == [*[True] * 5, *[False] * 2, *[True] * 5, *[False] * 2, True, True]


def test_who_listens_is_told_when_connections_may_have_to_be_cut() -> None:
    """A sentence tells, and so does a request that uses up the last step before a fault of connections."""
    world = World()
    told = []
    world.payment.on_change(lambda: told.append(world.payment.cut(0, world.now)))
    world.payment.fails(2).then.is_down()
    assert told == ["", ""]
    world.statuses(2)
    assert told == ["", "", "idle"]


# --- health checks ----------------------------------------------------------------------------------------------------


def test_health_checks_are_no_part_of_a_script() -> None:
    """They are kept apart, answered well unless said otherwise, and no count counts them."""
    world = World(strict=True, endpoints=2)
    world.payment.fails(1).then.replies(200)
    assert world.ask(agent="Envoy/HC").status == 200
    world.payment.is_healthy(False, for_=5)
    world.payment.endpoint(1).is_healthy()
    assert [world.ask(agent="Envoy/HC", endpoint=number).status for number in (0, 1)] == [503, 200]
    world.now += 5
    assert world.ask(agent="Envoy/HC").status == 200
    assert (len(world.payment.health_checks), world.payment.requests) == (4, [])
    assert world.ask().status == 503


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda up: up.fails().then.replies(200), r"payment\.fails\(\) has no end, so replies\(200\) after it can nev"),
        (lambda up: up.replies(503, 200).then.fails(1), r"bound replies\(503, 200\) with times= or for_="),
        (lambda up: up.fails(0), "fails: times=0 can never fire"),
        (lambda up: up.fails(True), "fails: times=True can never fire"),
        (lambda up: up.hangs(1.5), "hangs: times=1.5 can never fire"),
        (lambda up: up.is_down(for_=0), "is_down: for_=0 can never fire"),
        (lambda up: up.fails(probability=0), "fails: probability=0 can never fire"),
        (lambda up: up.fails(probability=3), "fails: probability=3 is no probability"),
        (lambda up: up.fails(seed=3), "seed=3 seeds nothing"),
        (lambda up: up.replies(503, 503, 200, times=2), "of 3 answers times=2 leaves some that can never fire"),
        (lambda up: up.replies(503, 200, json={}), "either several answers, or one status with its body"),
        (lambda up: up.replies(json={}, text="a"), "one body: json, text or content"),
        (lambda up: up.replies(42), "42 is no status"),
        (lambda up: up.on("POST").is_down(), r"payment\.on\(method='POST'\)\.is_down\(\) can never fire: nobody knows"),
        (lambda up: up.fails(1).then.flaps(up=0, down=1), "flaps: up=0 and down=1 are seconds above 0"),
        (lambda up: up.endpoint(2), r"payment has endpoints 0 to 1, no endpoint\(2\)"),
        (lambda up: up.endpoint(-1), r"no endpoint\(-1\)"),
        (lambda up: up.endpoint(0).each, r"payment\.endpoint\(0\)\.each: one endpoint is only one"),
        (lambda up: up.on(), r"on\(\) wants a method, a path, or both"),
        (lambda up: up.closes(at="lunch"), "closes: at='lunch' is none of 'before headers', 'mid-headers'"),
        (lambda up: up.drips(), "wants the bytes"),
        (lambda up: up.lies_about_length(by=0), "by=0 is the truth"),
        (lambda up: up.is_slow(-1.0), "-1.0 s is no time to wait"),
        (lambda up: up.is_slow(testing.uniform(2, 1)), "wants 0 <= shortest <= longest"),
        (lambda up: up.grow(3), "made with endpoints=2, and 3 are wanted"),
        (lambda up: up.on("GET").is_healthy(False), "is_healthy is said of an upstream, or of one endpoint"),
        (lambda up: up.dns.fails().then.answers(0), r"payment\.dns\.fails\(\) has no end"),
        (lambda up: up.dns.answers(0, 7), r"payment\.dns\.answers\(0, 7\): payment has endpoints 0 to 1"),
    ],
)
def test_a_script_that_cannot_mean_what_it_says_is_refused(say: Any, message: str) -> None:
    """At once, with the reason and the way out; it is a misuse, and a ValueError."""
    world = World(endpoints=2)
    with pytest.raises(ScriptError, match=message) as caught:
        say(world.payment)
    assert isinstance(caught.value, MisuseError)
    assert isinstance(caught.value, ValueError)


def test_unscripted_requests_are_told() -> None:
    """With `strict` they get a 501 that says what to write, and are kept for the test's end."""
    world = World(strict=True)
    assert b"say what it answers, for example payment.replies(200)" in world.ask("/x?y=1").content
    world.payment.on("POST").replies(201)
    assert b"say payment.on('GET', '/x')" in world.ask("/x").content
    world.payment.fails(1)
    world.ask()
    over = world.ask()
    assert (over.status, b"the script payment.fails(1) is over; go on with .then" in over.content) == (501, True)
    assert len(world.payment.misuses) == 3
    assert world.payment.misuses[0].startswith("payment was asked GET /x?y=1, and nobody scripted that: ")


@pytest.mark.parametrize(
    ("say", "kind", "message"),
    [
        (lambda up: up.reply(200), AttributeError, "no attribute 'reply'; did you mean 'replies'"),
        (lambda up: up.fails(1).then.recover(), AttributeError, "'Then' object .* did you mean 'recovers'"),
        (lambda up: up.endpoint(0).hang(), AttributeError, "did you mean 'hangs'"),
        (lambda up: up.dns.answer_with(1), AttributeError, "did you mean"),
        (lambda up: up.fails(2, staus=503), TypeError, r"fails\(\) has no 'staus': did you mean 'status'\?"),
        (lambda up: up.dns.fails(fro_=1), TypeError, r"fails\(\) has no 'fro_': did you mean 'for_'\?"),
    ],
)
def test_a_slip_of_the_pen_is_told_the_nearest_word(say: Any, kind: type[Exception], message: str) -> None:
    """For verbs and for what they take."""
    with pytest.raises(kind, match=message):
        say(World().payment)


def test_names_that_are_nobodys_verbs_are_simply_not_there() -> None:
    """What asks whether an object has something gets its answer."""
    assert not hasattr(World().payment, "__fspath__")
    assert not hasattr(World().payment.each, "_private")


def test_an_endpoint_that_is_not_there_is_told() -> None:
    """At once where the number of endpoints is known; else at the end, when it is."""
    payment = World().payment
    payment.endpoint(2).fails()
    assert payment.misuses == ["payment.endpoint(2).fails() can never fire: payment has endpoints 0 to 0"]
    assert payment.unfired == []
    payment.grow(3)
    assert payment.misuses == []
    with pytest.raises(ScriptError, match=r"payment has endpoints 0 to 2, no endpoint\(3\)"):
        payment.endpoint(3)


def test_a_function_that_raises_is_told() -> None:
    """The caller gets a 500 with the reason, and the test is told at its end."""
    world = World()
    world.payment.replies(lambda seen: 1 // 0)
    assert (world.ask().status, len(world.payment.misuses)) == (500, 1)
    assert "raised ZeroDivisionError" in world.payment.misuses[0]


def test_steps_that_never_happened_are_known() -> None:
    """Usual answers and what was said first apart: they are there in case of need."""
    world = World()
    world.payment.replies(200)
    world.payment.first.hangs(1)
    world.payment.on("POST").fails(2).then.resets(times=1).then.replies(201)
    world.payment.endpoint(0).fails(1).then.refuses(1).then.recovers()
    world.ask()
    world.ask(method="POST")
    assert world.payment.unfired == ["payment.on(method='POST').resets(times=1)", "payment.endpoint(0).refuses(1)"]


# --- code -------------------------------------------------------------------------------------------------------------

NAMES = {name: getattr(testing, name) for name in testing.__all__ if name.islower() or name in ("Reaction", "Latency")}
TIMES = st.integers(1, 9)
PLACES = st.sampled_from(["before headers", "mid-headers", "before body", "mid-body"])
LATENCIES = st.one_of(
    SECONDS,
    st.builds(testing.fixed, SECONDS),
    st.builds(lambda a, b: testing.uniform(min(a, b), max(a, b)), SECONDS, SECONDS),
    st.builds(testing.normal, SECONDS, SECONDS),
    st.builds(testing.lognormal, SECONDS, SECONDS),
    st.builds(testing.exponential, SECONDS),
    st.builds(testing.pareto, SECONDS, SECONDS),
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
ANSWERS = st.one_of(
    st.integers(200, 599),
    st.builds(reply, st.integers(200, 599), text=st.text(), after=SECONDS, headers=st.just({"x-a": "b"})),
    st.builds(hang, st.sampled_from(["before head", "in body"])),
    st.builds(testing.drip, st.binary(), st.binary(), pause=SECONDS),
)
# verb, positional arguments, and keywords, some of which may be left out
CLAUSES: list[tuple[str, list[st.SearchStrategy[Any]], dict[str, st.SearchStrategy[Any]]]] = [
    ("replies", [], {"json": JSON, "status": st.integers(200, 599), "after": LATENCIES, "for_": SECONDS}),
    ("replies", [st.integers(200, 599)], {"text": st.text(), "times": TIMES}),
    ("replies", [ANSWERS, ANSWERS], {"times": st.integers(2, 9)}),
    ("replies", [], {"content": st.binary() | st.lists(st.binary()), "trailers": st.just((("grpc-status", "0"),))}),
    ("fails", [TIMES], {"status": st.integers(400, 599), "retry_after": SECONDS, "after": LATENCIES}),
    ("fails", [], {"for_": SECONDS, "text": st.text(), "headers": st.just({"x-a": "b"})}),
    ("fails", [TIMES], {"json": JSON}),
    ("fails", [TIMES], {"probability": st.floats(0.01, 1.0)}),
    ("asks_to_wait", [SECONDS], {"times": TIMES, "status": st.sampled_from([429, 503])}),
    ("is_slow", [LATENCIES], {"times": TIMES, "for_": SECONDS}),
    ("browns_out", [], {"base": SECONDS, "per_request": SECONDS, "for_": SECONDS}),
    ("works", [TIMES], {}),
    ("recovers", [], {}),
    ("hangs", [], {"times": TIMES, "at": PLACES}),
    ("closes", [], {"times": TIMES, "at": PLACES, "after": LATENCIES}),
    ("resets", [], {"for_": SECONDS, "at": PLACES}),
    ("truncates", [TIMES], {}),
    ("drips", [st.binary(min_size=1)], {"every": SECONDS, "times": TIMES}),
    ("sends_garbage", [st.binary()], {"times": TIMES}),
    ("lies_about_length", [], {"by": st.integers(1, 9)}),
    ("is_down", [], {"for_": SECONDS}),
    ("flaps", [], {"up": SECONDS, "down": SECONDS}),
    ("refuses", [TIMES], {}),
    ("black_holes", [], {"for_": SECONDS}),
    ("fails_handshake", [TIMES], {}),
]
REQUIRED = {"by", "up", "down"}
PARTS = ["payment", "payment.each", "payment.endpoint(1)", "payment.on('POST', '/charges')", "payment.on(path='/a/*')"]


@st.composite
def sentences(draw: st.DrawFn, world: World, part: str) -> Sentence:
    """Say something about a part, until a step has no end."""
    whom: Any = eval(part, {"payment": world.payment})
    said: Any = None
    for _ in range(draw(st.integers(1, 4))):
        verb, positional, keywords = draw(st.sampled_from(CLAUSES))
        if "on(" in part and verb in ("is_down", "flaps", "refuses", "black_holes", "fails_handshake"):
            verb, positional, keywords = CLAUSES[0]
        kept = draw(st.sets(st.sampled_from(sorted(keywords)))) if keywords else set()
        given = {key: draw(value) for key, value in keywords.items() if key in kept | REQUIRED}
        said = getattr(whom if said is None else said.then, verb)(*map(draw, positional), **given)
        if said.steps[-1].times is None and said.steps[-1].for_ is None:
            break
    assert isinstance(said, Sentence)
    return said


@given(st.data(), st.sampled_from(PARTS))
def test_a_sentence_is_its_own_code(data: st.DataObject, part: str) -> None:
    """Pasted into a test, what a sentence shows of itself says the same."""
    first, second = World(endpoints=2), World(endpoints=2)
    said = data.draw(sentences(first, part))
    again = eval(repr(said), {**NAMES, "payment": second.payment})
    assert again == said
    assert hash(again) == hash(said)
    assert repr(again) == repr(said)
    assert repr(first.payment.script) == f"[{said!r}]"


def test_sentences_that_differ_are_not_equal() -> None:
    """In what they say, or of whom."""
    payment = World().payment
    assert payment.fails(2) != payment.fails(3)
    assert payment.fails(2) != payment.each.fails(2)
    assert payment.fails(2) == payment.fails(2)
    assert payment.dns.fails(2) != payment.dns.fails(3)


def test_a_name_that_is_no_name_in_code_is_replaced() -> None:
    """`billing-upstream` cannot stand in code."""
    assert repr(Scripted("billing-upstream", clock=lambda: 0.0).fails(1)) == "upstream.fails(1)"


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_have_sentences_too() -> None:
    """In turn, for so long, so often; without any all endpoints are told."""
    world = World(endpoints=3)
    names = world.payment.dns

    def told() -> tuple[str, tuple[int, ...]]:
        step = names.answer(world.now)
        return step.kind, names.endpoints(step)

    assert told() == ("addresses", (0, 1, 2))
    said = names.fails(1).then.times_out(for_=5).then.has_no_such_name(1).then.answers(2, 0)
    assert repr(said) == "payment.dns.fails(1).then.times_out(for_=5).then.has_no_such_name(1).then.answers(2, 0)"
    assert [told()[0] for _ in range(3)] == ["failure", "silence", "silence"]
    world.now += 5
    assert [told() for _ in range(3)] == [("no such name", (0, 1, 2)), *[("addresses", (2, 0))] * 2]
    assert names.answer(world.now, counted=False).endpoints == (2, 0)
    assert len(names.queries) == 7
    assert eval(repr(said), {"payment": World(endpoints=3).payment}) == said


def test_only_names_that_are_served_are_known() -> None:
    """With none declared every name is the upstream's."""
    names = World().payment.dns
    assert names.knows("anything.test")
    names.serves("Payment.internal.")
    assert names.knows("payment.internal")
    assert not names.knows("anything.test")
