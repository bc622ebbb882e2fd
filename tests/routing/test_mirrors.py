"""Which copies of a call are made, and what they look like."""

from __future__ import annotations

import pytest

from ambassador_lib.policy.model import FractionalPercent, RequestMirrorPolicy, RuntimeFractionalPercent
from ambassador_lib.routing.mirrors import Mirror
from ambassador_lib.testing import FakeClock

from .calls import Dice, call_to


def mirror(**fields: object) -> Mirror:
    return Mirror(RequestMirrorPolicy(**{"cluster": "s", **fields}), {"key": 30}, FakeClock())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("authority", "copied"),
    [
        ("h.test", "h.test-shadow"),
        ("h.test:80", "h.test-shadow:80"),
        ("[::1]", "[::1]-shadow"),
        ("[::1]:8", "[::1]-shadow:8"),
        ("", "-shadow"),
    ],
)
def test_the_mark_stands_before_the_port(authority: str, copied: str) -> None:
    """`-shadow` marks the host, whatever its form."""
    assert mirror().authority(call_to(host=authority)) == copied


def test_the_draw_is_the_calls_own() -> None:
    """The numbers below the share are mirrored; the runtime key counts before the default."""
    half = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=50))
    keyed = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100), runtime_key="key")
    drawn = {
        number: (
            mirror(runtime_fraction=half).wanted(call_to(), Dice(number)),
            mirror(runtime_fraction=keyed).wanted(call_to(), Dice(number)),
        )
        for number in (0, 29, 30, 49, 50, 99)
    }
    assert drawn == {
        0: ("s", "s"),
        29: ("s", "s"),
        30: ("s", None),
        49: ("s", None),
        50: (None, None),
        99: (None, None),
    }


def test_the_copy_is_an_internal_request_that_came_through_a_proxy() -> None:
    """The call's own headers stay as they are."""
    call = call_to(headers=[("x-forwarded-for", "1.2.3.4"), ("x-envoy-internal", "no")])
    before = call.headers.copy()
    copied = dict(mirror().headers(call))
    assert copied[b"x-envoy-internal"] == b"true"
    assert copied[b"x-forwarded-for"].startswith(b"1.2.3.4,")
    assert call.headers == before


def test_a_header_names_the_cluster() -> None:
    """Absent or empty: no copy."""
    named = mirror(cluster="", cluster_header="X-C")
    values = [named.wanted(call_to(headers=headers), Dice()) for headers in ([], [("x-c", "")], [("x-c", "t")])]
    assert values == [None, None, "t"]
