from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.algorithms.labels import comparable, matches, wanted_labels


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ("true", True, False),
        (None, "None", False),
        (["a", "b"], ("a", "b"), True),
        (["a", "b"], ["b", "a"], False),
        ({"x": 1, "y": [2]}, {"y": [2.0], "x": 1.0}, True),
        ({"x": 1}, {"x": True}, False),
    ],
)
def test_values_are_equal_if_their_kinds_are(one: Any, other: Any, same: bool) -> None:
    """Free-form values compare as protobuf's do: Python's `True == 1` is none of them."""
    assert (comparable(one) == comparable(other)) is same


def test_all_labels_must_be_there() -> None:
    """A missing label matches nothing; of a list any value will do where that is asked for."""
    labels = {"v": "1", "list": ["x", "y"]}
    assert matches(labels, wanted_labels({"v": "1"}), list_as_any=False)
    assert not matches(labels, wanted_labels({"v": "1", "w": "1"}), list_as_any=False)
    assert matches(labels, wanted_labels({"list": "y"}), list_as_any=True)
    assert not matches(labels, wanted_labels({"list": "y"}), list_as_any=False)
