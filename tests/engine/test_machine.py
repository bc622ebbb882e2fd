"""The engine as a machine: calls, connections and time in any order; what must always be true is looked at each time.

`Calls` is the model: it knows which connection each request must come by, which connections are kept, and how each call
may end. It knows nothing of how the engine does it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ambassador_lib.call import INFINITY, Deadline
from ambassador_lib.engine.base import Destination, Exchange
from ambassador_lib.engine.pooled import AsyncPooledEngine, PooledEngine
from ambassador_lib.engine.wire import PATIENCE
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ambassador_lib.runtime.blocking import BlockingRuntime
from ambassador_lib.runtime.loop import LoopRuntime

from .scripted import Dial, LoopWorld, ScriptedBlockingNetwork, ScriptedLoopNetwork, ThreadWorld, Wire, World

EXAMPLES = 60
STEPS = 40
IDLE_TIMEOUT = 60.0
CONNECT_TIMEOUT = 5.0
PORTS = (1, 2)
MAX_REQUESTS = {1: 0, 2: 2}
"""By port: the second's connections are closed after two exchanges."""

FORMS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: %(size)d\r\n\r\n%(body)s",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%(chunk)x\r\n%(body)s\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: %(size)d\r\n\r\n%(body)s",
    "empty": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-for: %(body)s\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %(size)d\r\n\r\n%(body)s",
}
"""How a request is answered: its own target comes back."""


class Gauge:
    """Counts connections, and takes no nonsense."""

    def __init__(self) -> None:
        self.now = 0
        self.retired = False
        self.drains = 0

    def opened(self) -> None:
        self.now += 1

    def closed(self) -> None:
        self.now -= 1
        assert self.now >= 0, "a connection was given back twice"


class Answer:
    """What a peer sends for one request, as far as it has come."""

    def __init__(self, target: str, form: str) -> None:
        body = target.encode() * 3
        values = {b"size": len(body), b"chunk": len(body), b"body": body}
        self.data = FORMS[form] % values
        self.keeps = form != "close"
        self.head = self.data.rindex(b"\r\n\r\n", 0, self.data.index(b"200 OK") + 90 + len(body)) + 4
        if form == "chunked":
            self.head = self.data.index(b"\r\n\r\n") + 4
        self.body = b"" if form == "empty" else body
        self.sent = 0

    @property
    def is_whole(self) -> bool:
        return self.sent == len(self.data)

    def next(self, amount: str) -> bytes:
        """Return the next piece: a byte, the rest of the head and half of the body, or all that is left."""
        half = (self.head + len(self.data)) // 2
        until = {"byte": self.sent + 1, "head": self.head, "half": half, "rest": len(self.data)}[amount]
        piece = self.data[self.sent : max(until, self.sent + 1)]
        self.sent += len(piece)
        return piece


class Call:
    """One call of the application, and how the model thinks it may end."""

    def __init__(self, number: int, port: int, deadline: Deadline) -> None:
        self.target = f"/{number}/"
        self.port = port
        self.deadline = deadline
        self.wire: Wire | None = None
        self.answer: Answer | None = None
        self.order: str | None = None
        """What the application does with the response: `read` or `leave` it."""
        self.response: httpx.Response | None = None
        self.body: bytes | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.may_fail: tuple[type[BaseException], ...] = ()
        self.is_broken = False
        """Whether its connection must not be used any more."""
        self.task: Any = None
        self.exchange: Exchange

    @property
    def has_come_early(self) -> bool:
        """Whether the answer came whole with its head, and so the connection is free already."""
        return self.response is not None and type(self.response.stream) is httpx.ByteStream

    def __repr__(self) -> str:
        return f"<Call {self.target} by {self.wire} {'over' if self.is_over else 'under way'} {self.error!r}>"


class EngineMachine(RuleBasedStateMachine):
    """The rules; subclasses say which engine, over which world."""

    world: World
    engine: Any
    runtime: Any

    @initialize()
    def begin(self) -> None:
        self.calls: list[Call] = []
        self.idle: dict[int, list[Wire]] = {port: [] for port in PORTS}
        self.idle_since: dict[Wire, float] = {}
        self.outdated: set[Wire] = set()
        """Connections from before their host failed."""
        self.served: dict[Wire, int] = {}
        self.gauges = {port: Gauge() for port in PORTS}
        self.is_closed = False
        self.has_forked = False
        self.make()

    def make(self) -> None:
        raise NotImplementedError

    # --- what the application does

    @rule(port=st.sampled_from(PORTS), patience=st.sampled_from([INFINITY, INFINITY, 2.0, 30.0]))
    def send(self, port: int, patience: float) -> None:
        """A new call takes the connection that was given back last, or dials."""
        self.settle()
        expected = self.best(port)
        call = Call(len(self.calls), port, Deadline(self.world.now + patience))
        self.calls.append(call)
        dials = len(self.world.dials)
        call.exchange = self.exchange(call)
        call.task = self.world.start(lambda: self.carry_out(call))
        if self.is_closed:
            call.may_fail = (UpstreamResetError, UpstreamConnectError)
        if expected is not None:
            self.idle[port] = self.idle[port][: self.idle[port].index(expected)]
            call.wire = expected
        self.settle()
        if expected is not None:
            assert expected.requests[-1:] == [call.target], f"{call} should have come by {expected}"
            self.served[expected] += 1
        else:
            assert len(self.world.dials) == dials + 1, f"{call} has not dialled"

    @rule(port=st.sampled_from(PORTS), number=st.integers(2, 4))
    def send_several(self, port: int, number: int) -> None:
        """Calls at the same time go by as many connections."""
        for _ in range(number):
            self.send(port, INFINITY)

    @rule(data=st.data(), form=st.sampled_from(sorted(FORMS)))
    @precondition(lambda self: self.some(lambda call: not call.is_over))
    def complete(self, data: st.DataObject, form: str) -> None:
        """A call is served to its end, and does not fail unless it has reason to."""
        self.serve(self.pick(data, lambda call: not call.is_over), form)

    @rule(data=st.data())
    @precondition(lambda self: self.some(lambda call: not call.is_over))
    def complete_all(self, data: st.DataObject) -> None:
        """All calls are served to their end, in any order: that is the order in which connections come back."""
        under_way = [call for call in self.calls if not call.is_over]
        for call in data.draw(st.permutations(under_way)):
            if not call.is_over:
                self.serve(call, "length")

    @rule(data=st.data(), order=st.sampled_from(["read", "read", "leave"]))
    @precondition(lambda self: self.some(lambda call: call.response is not None and call.order is None))
    def go_on(self, data: st.DataObject, order: str) -> None:
        """The application reads a response to its end, or leaves it."""
        call = self.pick(data, lambda call: call.response is not None and call.order is None)
        self.give_order(call, order)
        self.settle()

    @rule(data=st.data())
    @precondition(lambda self: self.some(lambda call: not call.is_over))
    def cancel(self, data: st.DataObject) -> None:
        """The application goes away: a task is cancelled, a blocking call broken off from another thread."""
        call = self.pick(data, lambda call: not call.is_over)
        self.break_off(call)
        self.settle()

    @rule(data=st.data())
    @precondition(lambda self: self.some(lambda call: not call.is_over))
    def abort(self, data: st.DataObject) -> None:
        """A hedge breaks off the try that has lost."""
        call = self.pick(data, lambda call: not call.is_over)
        self.expect_break(call, UpstreamResetError, UpstreamConnectError)
        call.exchange.abort()
        self.settle()

    @rule(data=st.data())
    @precondition(lambda self: self.some(self.is_succeeded_by_another))
    def abort_late(self, data: st.DataObject) -> None:
        """A hedge breaks off a try that has ended meanwhile: that is nobody else's end."""
        call = self.pick(data, self.is_succeeded_by_another)
        call.exchange.abort()
        self.settle()

    @rule(data=st.data(), turns=st.integers(0, 8), amount=st.sampled_from(["head", "rest"]))
    @precondition(lambda self: self.some(lambda call: not call.is_over))
    def race(self, data: st.DataObject, turns: int, amount: str) -> None:
        """Something comes for a call that goes away in the same moment, or a few turns of the loop later."""
        call = self.pick(data, lambda call: not call.is_over)
        dial = next((dial for dial in self.world.dials if dial.exchange is call.exchange), None)
        if dial is not None:
            dial.is_accepted = True
            self.world.news()
        elif call.wire is not None and call.wire.is_open and call.response is None:
            self.feed(call, amount)
        elif call.response is not None:
            self.give_order(call, "read")
        self.world.settle(turns)
        if not call.is_over:
            self.break_off(call)
        self.settle()

    # --- what the network does

    @rule(data=st.data(), accepted=st.sampled_from([True, True, True, False]))
    @precondition(lambda self: self.world.dials)
    def connect(self, data: st.DataObject, accepted: bool) -> None:
        """A connection is made, or refused."""
        self.answer_dial(data.draw(st.sampled_from(self.world.dials)), accepted=accepted)
        self.settle()

    @rule(data=st.data(), amount=st.sampled_from(["byte", "head", "half", "rest", "rest"]))
    @precondition(lambda self: self.some(self.is_awaited))
    def deliver(self, data: st.DataObject, amount: str) -> None:
        """More of an answer comes."""
        call = self.pick(data, self.is_awaited)
        if call.answer is None:
            call.answer = Answer(call.target, data.draw(st.sampled_from(sorted(FORMS))))
        self.feed(call, amount)
        self.settle()

    @rule(data=st.data(), by_reset=st.booleans())
    @precondition(lambda self: any(wire.is_open and not wire.has_ended for wire in self.world.wires))
    def hang_up(self, data: st.DataObject, by_reset: bool) -> None:
        """The peer closes a connection, in use or not."""
        open_wires = [wire for wire in self.world.wires if wire.is_open and not wire.has_ended]
        wire = data.draw(st.sampled_from(open_wires))
        call = self.user(wire)
        if call is not None and not (call.answer is not None and call.answer.is_whole):
            self.expect_break(call, UpstreamResetError)
        elif call is not None:
            call.is_broken = True
        wire.end(by_reset=by_reset)
        self.settle()

    @rule(data=st.data())
    @precondition(lambda self: any(self.idle.values()))
    def babble(self, data: st.DataObject) -> None:
        """A peer speaks without being asked: its words are nobody's answer."""
        wires = [wire for wires in self.idle.values() for wire in wires if wire.is_open]
        if wires:
            wire = data.draw(st.sampled_from(wires))
            wire.give(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
            self.settle()

    # --- what time and the house do

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 70.0, PATIENCE + 1]))
    def wait(self, seconds: float) -> None:
        """Time passes; whoever has waited for too long gives up."""
        self.world.pass_time(seconds)
        now = self.world.now
        for call in self.calls:
            if call.is_over:
                continue
            is_waiting = call.response is None or call.order == "read"
            if call.deadline.at <= now or (is_waiting and seconds > PATIENCE):
                self.expect_break(call, DeadlineExpired, UpstreamConnectError)
            elif call.wire is None and seconds >= CONNECT_TIMEOUT - 1:
                self.expect_break(call, UpstreamConnectError)
            elif call.wire is None:
                call.may_fail = (*call.may_fail, UpstreamConnectError)
        self.settle()
        for call in self.calls:
            if not call.is_over and call.response is None:
                assert call.deadline.at > now, f"{call} has outlasted its deadline"

    @rule(port=st.sampled_from(PORTS))
    @precondition(lambda self: len(self.calls) > 12)
    def fail_host(self, port: int) -> None:
        """Health checks or outlier detection have given a host up: its connections are to be drained."""
        self.gauges[port].drains += 1
        self.outdated.update(wire for wire in self.world.wires if wire.port == port)
        self.settle()

    @rule()
    @precondition(lambda self: not self.is_closed and len(self.calls) > 20)
    def close(self) -> None:
        """The application closes its client, whatever is under way."""
        self.is_closed = True
        for call in self.calls:
            if not call.is_over:
                self.expect_break(call, UpstreamResetError, UpstreamConnectError)
        self.world.run(self.engine.close())
        self.settle()

    @rule()
    @precondition(lambda self: not self.has_forked and not self.is_closed and len(self.calls) > 8)
    def fork(self) -> None:
        """A child begins with nothing of its parent's, touches none of it, and can call."""
        self.has_forked = True
        aborted = [wire for wire in self.world.wires if wire.is_aborted]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that threads are not in the child is the point
            child = os.fork()
        if child == 0:
            status = 1
            try:
                self.live_in_child(aborted)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child has failed"

    def live_in_child(self, aborted: list[Wire]) -> None:
        assert [wire for wire in self.world.wires if wire.is_aborted] == aborted, "the parent goes on using them"
        assert all(gauge.now == 0 for gauge in self.gauges.values())
        assert not any(wire.is_open for wire in self.world.wires)
        fresh = type(self.world)()
        fresh.now = self.world.now
        self.world = self.engine._network.world = fresh
        self.idle = {port: [] for port in PORTS}
        self.has_forked = True
        self.calls = []
        self.send(1, INFINITY)
        self.answer_dial(fresh.dials[0], accepted=True)
        self.settle()
        (call,) = self.calls
        self.feed(call, "rest")
        self.settle()
        self.give_order(call, "read")
        self.settle()
        assert call.is_over
        assert call.error is None

    # --- what must always be true

    @invariant()
    def connections_are_counted(self) -> None:
        """Each open connection is counted once, and no other."""
        for port, gauge in self.gauges.items():
            wires = [wire for wire in self.world.wires if wire.is_open and wire.port == port]
            assert gauge.now == len(wires), f"{gauge.now} counted, open: {wires}"

    @invariant()
    def requests_are_sent_once(self) -> None:
        """No request comes twice, nor on a connection that has another's answer to bring."""
        targets = [target for wire in self.world.wires for target in wire.requests]
        assert len(targets) == len(set(targets)), targets

    @invariant()
    def connections_are_worn_out_in_time(self) -> None:
        """`max_requests_per_connection` is never exceeded."""
        for wire in self.world.wires:
            limit = MAX_REQUESTS[wire.port]
            assert not limit or len(wire.requests) <= limit

    def teardown(self) -> None:
        """All comes to its end within the engine's patience; then nothing is left."""
        if not hasattr(self, "engine"):
            return
        try:
            for call in self.calls:
                if call.response is not None and call.order is None and not call.is_over:
                    self.give_order(call, "read")
            self.settle()
            for _ in range(3):
                self.wait(PATIENCE + 1)
            stuck = [call for call in self.calls if not call.is_over]
            assert not stuck, f"these wait for ever: {stuck}"
        finally:
            self.world.run(self.engine.close())
            self.world.end()
        assert not any(gauge.now for gauge in self.gauges.values())
        assert not any(wire.is_open for wire in self.world.wires)

    # --- the model

    def exchange(self, call: Call) -> Exchange:
        destination = Destination(
            "c",
            "127.0.0.1",
            call.port,
            connect_timeout=CONNECT_TIMEOUT,
            idle_timeout=IDLE_TIMEOUT,
            max_requests=MAX_REQUESTS[call.port],
            gauge=self.gauges[call.port],
        )
        url = httpx.URL(f"http://app.test{call.target}")
        return Exchange(
            "GET", "http", "app.test", call.target, [], None, destination, call.deadline, lambda: None, url, {}
        )

    async def carry_out(self, call: Call) -> None:
        """What an application does."""
        try:
            call.response = await self.bounded(call, self.engine.send(call.exchange))
            try:
                await self.until_ordered(call)
                if call.order == "read":
                    call.body = await self.bounded(call, self.read(call.response))
            finally:
                await self.close_response(call.response)
        except BaseException as error:
            call.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            call.is_over = True

    async def until_ordered(self, call: Call) -> None:
        while call.order is None:
            with suppress(DeadlineExpired):
                await self.world.until(lambda: call.order is not None, Deadline())

    async def bounded(self, call: Call, work: Any) -> Any:
        if getattr(self.engine, "keeps_deadlines", False):
            return await work
        return await self.runtime.within(call.deadline, work)

    async def read(self, response: httpx.Response) -> bytes:
        raise NotImplementedError

    async def close_response(self, response: httpx.Response) -> None:
        raise NotImplementedError

    def break_off(self, call: Call) -> None:
        raise NotImplementedError

    def some(self, wanted: Callable[[Call], bool]) -> bool:
        return any(map(wanted, self.calls))

    def pick(self, data: st.DataObject, wanted: Callable[[Call], bool]) -> Call:
        call: Call = data.draw(st.sampled_from([call for call in self.calls if wanted(call)]))
        return call

    def serve(self, call: Call, form: str) -> None:
        for dial in [dial for dial in self.world.dials if dial.exchange is call.exchange]:
            self.answer_dial(dial, accepted=True)
            self.settle()
        if self.is_awaited(call):
            call.answer = call.answer or Answer(call.target, form)
            self.feed(call, "rest")
            self.settle()
        if call.response is not None and call.order is None:
            self.give_order(call, "read")
            self.settle()
        if not call.may_fail and not call.is_broken:
            assert call.is_over, f"{call} has been given all, and waits"

    def is_succeeded_by_another(self, call: Call) -> bool:
        """Whether its connection serves another call by now."""
        return call.is_over and call.wire is not None and self.user(call.wire) is not None

    def is_awaited(self, call: Call) -> bool:
        """Whether its peer has something left to say."""
        wire = call.wire
        if call.is_over or wire is None or not wire.is_open or wire.has_ended:
            return False
        return call.answer is None or not call.answer.is_whole

    def user(self, wire: Wire) -> Call | None:
        return next((call for call in reversed(self.calls) if call.wire is wire and not call.is_over), None)

    def feed(self, call: Call, amount: str) -> None:
        assert call.wire is not None
        if call.answer is None:
            call.answer = Answer(call.target, "length")
        if not call.answer.is_whole:
            call.wire.give(call.answer.next(amount))

    def give_order(self, call: Call, order: str) -> None:
        call.order = order
        self.world.news()

    def answer_dial(self, dial: Dial, *, accepted: bool) -> None:
        dial.is_accepted = accepted
        if not accepted:
            call = next(call for call in self.calls if call.exchange is dial.exchange)
            call.may_fail = (*call.may_fail, UpstreamConnectError)
        self.world.news()

    def expect_break(self, call: Call, *errors: type[BaseException]) -> None:
        call.may_fail = (*call.may_fail, *errors)
        call.is_broken = True

    def best(self, port: int) -> Wire | None:
        """Return the connection that the next call must take: of those that can be used, the last given back."""
        for wire in reversed(self.idle[port]):
            overdue = self.world.now - self.idle_since[wire] >= IDLE_TIMEOUT
            if wire.is_open and not wire.has_input() and not overdue and wire not in self.outdated:
                return wire
        return None

    def settle(self) -> None:
        """Let everybody go on; then look at what has become of whom."""
        self.world.settle()
        for wire in self.world.wires:
            self.served.setdefault(wire, len(wire.requests))
        for call in self.calls:
            if call.wire is None:
                call.wire = next((wire for wire in self.world.wires if call.target in wire.requests), None)
            self.look_at(call)

    def look_at(self, call: Call) -> None:
        """An ended call has ended as it may, and its connection is kept or closed as it must be."""
        if call.is_over and call.error is not None:
            allowed = (*call.may_fail, UpstreamResetError) if call.is_broken else call.may_fail
            assert isinstance(call.error, allowed), f"{call} must not fail"
        if call.body is not None:
            assert call.answer is not None
            assert call.body == call.answer.body, f"{call} was given {call.body!r}"
        wire = call.wire
        if wire is None or getattr(call, "is_settled", False) or not (call.is_over or call.has_come_early):
            return
        call.is_settled = True  # type: ignore[attr-defined]
        is_whole = call.answer is not None and call.answer.is_whole
        if not is_whole:
            assert not wire.is_open, f"{wire} has more to bring for {call}, and is not closed"
        worn_out = 0 < MAX_REQUESTS[wire.port] <= len(wire.requests)
        must_close = worn_out or self.is_closed or wire in self.outdated or (call.answer and not call.answer.keeps)
        if must_close:
            assert not wire.is_open, f"{wire} is kept after {call}"
        elif call.error is None and not call.is_broken and call.order != "leave" and not wire.is_aborted:
            assert wire.is_open, f"{wire} is not kept after {call}"
        if wire.is_open:
            self.idle[wire.port].append(wire)
            self.idle_since[wire] = self.world.now


class LoopMachine(EngineMachine):
    """Tasks of an event loop."""

    def make(self) -> None:
        self.world = LoopWorld()
        self.runtime = LoopRuntime(self.world)
        self.engine = AsyncPooledEngine(self.world, network=ScriptedLoopNetwork(self.world))  # type: ignore[arg-type]

    async def read(self, response: httpx.Response) -> bytes:
        return await response.aread()

    async def close_response(self, response: httpx.Response) -> None:
        await response.aclose()

    def break_off(self, call: Call) -> None:
        import asyncio

        self.expect_break(call, asyncio.CancelledError)
        call.task.cancel()


class ThreadMachine(EngineMachine):
    """Threads."""

    def make(self) -> None:
        self.world = ThreadWorld()
        self.runtime = BlockingRuntime(self.world)
        self.engine = PooledEngine(self.world, network=ScriptedBlockingNetwork(self.world))  # type: ignore[arg-type]

    async def read(self, response: httpx.Response) -> bytes:
        return response.read()

    async def close_response(self, response: httpx.Response) -> None:
        response.close()

    def break_off(self, call: Call) -> None:
        self.expect_break(call, UpstreamResetError, UpstreamConnectError)
        call.exchange.abort()


@pytest.mark.parametrize("machine", [LoopMachine, ThreadMachine])
def test_the_engine_keeps_its_promises_in_any_order(machine: type[EngineMachine]) -> None:
    """No answer reaches another call, and nothing is leaked, kept, counted or waited for that should not be."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
