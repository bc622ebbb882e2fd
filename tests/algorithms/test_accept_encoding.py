"""What a caller accepts; the answers are those of Envoy 1.40."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.accept_encoding import wants


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("", False),
        ("GZIP", False),
        ("x-gzip", False),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0,*", False),
        ("identity,gzip", False),
        ("gzip,identity", True),
        ("gzip;q=.5,identity;q=.6", False),
        ("gzip;q=x", False),
        ("gzip;q=1_0", False),
        ("gzip;q=nan", False),
        ("gzip ; q = 0.5", True),
        ("gzip;level=1;q=0", True),
        ("br;q=1, *;q=0.1", True),
        (" ,,gzip", True),
    ],
)
def test_the_best_of_what_is_accepted_is_taken(accepted: str, expected: object) -> None:
    """The highest q, the first of equals, letters as they are."""
    assert wants(accepted, "gzip") is expected


def test_a_tie_can_be_decided_for_the_encoding() -> None:
    """With `choose_first` it wins over what is accepted as gladly, not over what is accepted more gladly."""
    assert wants("identity,gzip", "gzip", choose_first=True)
    assert not wants("identity,gzip;q=0.9", "gzip", choose_first=True)


@given(st.text(st.sampled_from("gzip;q=01.,* identy"), max_size=40))
def test_nonsense_is_heard_out(accepted: str) -> None:
    """Whatever is sent, there is an answer; what does not name the encoding nor a wildcard is a no."""
    assert not wants(accepted, "gzip") or "gzip" in accepted or "*" in accepted
