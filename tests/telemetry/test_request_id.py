"""`x-request-id`: semantics 11.1 and 11.2."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy.model.core import Percent
from ambassador_lib.policy.model.listener import Tracing
from ambassador_lib.telemetry.request_id import Decision, decide, make, stamp, stamped


class Bits:
    """Randomness that always says the same."""

    def __init__(self, bits: int, chance: float = 0.0) -> None:
        self.bits = bits
        self.chance = chance

    def getrandbits(self, k: int, /) -> int:
        return self.bits & ((1 << k) - 1)

    def random(self) -> float:
        return self.chance


@given(st.integers(0, 2**128 - 1))
def test_made_ids_are_random_uuids(bits: int) -> None:
    """An id is the text of a UUID of version 4 with all other bits from the injected randomness."""
    made = uuid.UUID(make(Bits(bits)).decode())
    assert uuid.UUID(int=bits, version=4) == made


def test_ids_come_from_the_injected_randomness() -> None:
    """The same seed makes the same id, and the next one differs."""
    one, other = random.Random(7), random.Random(7)
    first = make(one)
    assert first == make(other)
    assert first != make(one)


@pytest.mark.parametrize("decision", list(Decision))
def test_the_fifteenth_character_holds_the_decision(decision: Decision) -> None:
    """A stamp changes one character of a UUID and can be read back."""
    made = make(random.Random(1))
    found = stamp(made, decision)
    assert found[14:15] == decision.value
    assert found[:14] + found[15:] == made[:14] + made[15:]
    assert stamped(found) is decision


@pytest.mark.parametrize("request_id", [b"", b"abc", b"x" * 36, b"0" * 35, b"deadbeef-custom"])
def test_ids_of_another_shape_are_left_alone(request_id: bytes) -> None:
    """What is no UUID is kept to the letter; Envoy looks at the length and the first group alone."""
    assert stamp(request_id, Decision.SAMPLED) == request_id
    assert stamped(request_id) is Decision.NONE


@pytest.mark.parametrize(
    ("request_id", "decision"),
    [
        (b"abc", Decision.NONE),
        (b"deadbee", Decision.NONE),
        (b"zzzzzzzz-0000-9000-8000-000000000000", Decision.NONE),
        (b"deadbeef", Decision.SAMPLED),
        (b"deadbeef-custom", Decision.SAMPLED),
        (b"0" * 36, Decision.SAMPLED),
    ],
)
def test_an_id_without_a_number_is_never_traced(request_id: bytes, decision: Decision) -> None:
    """Chance is taken from eight hexadecimal digits; `abc` switches tracing off (counted by Envoy 1.40's stats)."""
    assert decide(request_id, Tracing(), random=random.Random(1)) is decision


@pytest.mark.parametrize(
    ("request_id", "seen"),
    [
        (b"12345678-0000-4000-8000-000000000000", b"12345678-0000-9000-8000-000000000000"),
        (b"12345678-0000-1000-8000-000000000000", b"12345678-0000-9000-8000-000000000000"),
        (b"12345678-0000-a000-8000-000000000000", b"12345678-0000-a000-8000-000000000000"),
        (b"zzzzzzzz-0000-9000-8000-000000000000", b"zzzzzzzz-0000-9000-8000-000000000000"),
        (b"0" * 36, b"0" * 14 + b"9" + b"0" * 21),
    ],
)
def test_ids_look_as_behind_envoy(request_id: bytes, seen: bytes) -> None:
    """Pairs of what went into Envoy 1.40 with all shares at 100 % and what came out."""
    assert stamp(request_id, decide(request_id, Tracing(), random=random.Random(1))) == seen


def test_an_id_that_says_the_same_is_left_alone() -> None:
    """An untraced id keeps its own digit: Envoy writes a 4 only over a decision."""
    request_id = b"12345678-0000-1000-8000-000000000000"
    assert stamp(request_id, Decision.NONE) == request_id


def uuid_of(first: int) -> bytes:
    """Return an id whose first group is `first`."""
    return b"%08x-0000-4000-8000-000000000000" % first


@pytest.mark.parametrize(
    ("first", "share", "decision"),
    [
        (0, None, Decision.SAMPLED),
        (9_999, None, Decision.SAMPLED),
        (2_499, 25.0, Decision.SAMPLED),
        (2_500, 25.0, Decision.NONE),
        (12_499, 25.0, Decision.SAMPLED),
        (0, 0.0, Decision.NONE),
        (0, 0.01, Decision.SAMPLED),
        (1, 0.01, Decision.NONE),
    ],
)
def test_random_sampling_is_a_hash_of_the_id(first: int, share: float | None, decision: Decision) -> None:
    """`random_sampling` counts hundredths of a percent of the id's first group."""
    tracing = Tracing(random_sampling=None if share is None else Percent(value=share))
    assert decide(uuid_of(first), tracing, random=Bits(0)) is decision


@pytest.mark.parametrize(
    ("forced", "client", "chance", "decision"),
    [
        (True, False, 0.0, Decision.SERVICE_FORCED),
        (True, True, 0.0, Decision.CLIENT_FORCED),
        (True, True, 0.51, Decision.SERVICE_FORCED),
        (False, True, 0.49, Decision.CLIENT_FORCED),
        (False, True, 0.51, Decision.NONE),
        (False, False, 0.0, Decision.NONE),
    ],
)
def test_client_goes_before_force_and_force_before_chance(
    forced: bool, client: bool, chance: float, decision: Decision
) -> None:
    """Only `client_sampling` of the requests that carry `x-client-trace-id` are traced for it."""
    tracing = Tracing(client_sampling=Percent(value=50.0), random_sampling=Percent(value=0.0))
    assert decide(uuid_of(0), tracing, forced=forced, client=client, random=Bits(0, chance)) is decision


def test_a_decision_made_before_is_kept() -> None:
    """An id that arrives stamped keeps its decision, whatever the policy's own chance."""
    request_id = stamp(uuid_of(5), Decision.SAMPLED)
    assert decide(request_id, Tracing(random_sampling=Percent(value=0.0)), random=Bits(0)) is Decision.SAMPLED


@pytest.mark.parametrize(("first", "decision"), [(9, Decision.SERVICE_FORCED), (10, Decision.NONE)])
def test_the_overall_share_caps_everything(first: int, decision: Decision) -> None:
    """`overall_sampling` cuts off forced traces, too."""
    tracing = Tracing(overall_sampling=Percent(value=10.0))
    assert decide(uuid_of(first), tracing, forced=True, random=Bits(0)) is decision
