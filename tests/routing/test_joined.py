"""Headers of which Envoy holds one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.routing.joined import on_one_line

NAMES = st.sampled_from([b"via", b"VIA", b"accept", b"cookie", b"x-a"])


def test_the_line_stands_where_the_first_stood() -> None:
    """In the order of the values; what is empty adds nothing, and other names keep their lines."""
    headers = [(b"a", b"1"), (b"Via", b"x"), (b"b", b"1"), (b"via", b""), (b"b", b"2"), (b"via", b"y")]
    on_one_line(headers, frozenset((b"via",)))
    assert headers == [(b"a", b"1"), (b"Via", b"x,y"), (b"b", b"1"), (b"b", b"2")]


@given(st.lists(st.tuples(NAMES, st.binary(max_size=2)), max_size=8))
def test_nothing_is_lost_and_nothing_is_there_twice(headers: list[tuple[bytes, bytes]]) -> None:
    """Each of the names has one line at most; all values are there, and all other headers in their order."""
    before, inline = list(headers), frozenset((b"via", b"accept"))
    on_one_line(headers, inline)
    assert [one for one in headers if one[0].lower() not in inline] == [
        one for one in before if one[0].lower() not in inline
    ]
    for name in inline:
        values = [value for key, value in before if key.lower() == name]
        joined = [b",".join(filter(None, values))] if len(values) > 1 else values
        assert [value for key, value in headers if key.lower() == name] == joined
