"""`x-request-id`: made, and stamped with what was decided about tracing (semantics 11.1, 11.2).

Pure: randomness is an argument. The caller keeps the rule of when an id is made, kept or replaced.
"""

from __future__ import annotations

import re
from binascii import hexlify
from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy.model.core import Percent
    from ..policy.model.listener import Tracing
    from ..runtime.base import Random

LENGTH = 36
STAMPED = 14
"""The place of the decision: the digit where a UUID has its version."""

_KEPT = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
_groups = Struct("8s4s4s4s12s").unpack


class Decision(Enum):
    """Whether a request is traced and why; the value is the digit in its id. Source: Envoy's UUID request id."""

    NONE = b"4"
    SAMPLED = b"9"
    SERVICE_FORCED = b"a"
    CLIENT_FORCED = b"b"


_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{8}")
_BY_DIGIT = {decision.value: decision for decision in Decision}


def make(random: Random) -> bytes:
    """Make a random UUID (version 4) in its text form."""
    # uuid.UUID costs three times as much, and its source of randomness cannot be chosen.
    return b"-".join(_groups(hexlify((random.getrandbits(128) & _KEPT | _VERSION_4).to_bytes(16, "big"))))


def stamp(request_id: bytes, decision: Decision) -> bytes:
    """Write the decision into the id; an id that is no UUID is left alone, and so is one that says the same."""
    if _number(request_id) is None or len(request_id) != LENGTH or stamped(request_id) is decision:
        return request_id
    return request_id[:STAMPED] + decision.value + request_id[STAMPED + 1 :]


def stamped(request_id: bytes) -> Decision:
    """Read the decision that an earlier hop wrote into the id."""
    if len(request_id) != LENGTH:
        return Decision.NONE
    return _BY_DIGIT.get(request_id[STAMPED : STAMPED + 1], Decision.NONE)


def decide(
    request_id: bytes,
    tracing: Tracing,
    *,
    forced: bool = False,
    client: bool = False,
    by_id: bool = True,
    random: Random,
) -> Decision:
    """Decide whether a request is traced: asked for by the client, forced, or by chance; then the overall cap.

    `client`: the request carries `x-client-trace-id`. `forced`: an internal one carries `x-envoy-force-trace`. Chance
    is a hash of the id, so that every hop decides alike; a request whose id gives none is never traced. Without `by_id`
    it is a draw (`use_request_id_for_trace_sampling`).
    """
    number = _number(request_id) if by_id else random.getrandbits(64)
    if number is None:
        return Decision.NONE
    decision = stamped(request_id)
    if decision is Decision.NONE:
        if client and random.random() * 100 < int(_percent(tracing.client_sampling)):
            decision = Decision.CLIENT_FORCED
        elif forced:
            decision = Decision.SERVICE_FORCED
        elif number % 10_000 < round(_percent(tracing.random_sampling) * 100):
            decision = Decision.SAMPLED
    # The cap, as the client's share, is in whole percents.
    if number % 100 >= int(_percent(tracing.overall_sampling)):
        decision = Decision.NONE
    return decision


def _number(request_id: bytes) -> int | None:
    """Return what Envoy takes chance from: the id's first eight characters, where they are a hexadecimal number."""
    first = _HEXADECIMAL.match(request_id)
    return None if first is None else int(first[0], 16)


def _percent(percent: Percent | None) -> float:
    """`HttpConnectionManager.Tracing`: an unset share is 100 %."""
    return 100.0 if percent is None else percent.value
