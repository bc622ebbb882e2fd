"""What is read line by line is what PyYAML's parser reads, to the last position; all else is left to that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ambassador_lib.errors import PolicyError, PolicyFault
from ambassador_lib.policy.yaml_events import Reader
from ambassador_lib.policy.yaml_lines import read_lines
from ambassador_lib.policy.yaml_nodes import Node

ROOT = Path(__file__).parents[2]
SCALARS = [
    "a", "1", "-5", "0x50", "017", "true", "no", "~", "null", "1.5s", "/v1/", "a b", "a:b", "http://x:80/y", "a#b", "*",
    "'*'", '"a: b"', "'a # b'", '""', "''", '"a\\nb"', "'it''s'", "-", "--", "- a", "a: b", "a :b", "a,b", "a]b", "[a]",
    "{a: 1}", "&x a", "*x", "!t a", "|", ">", "%a", "@a", "`a", "a # c", "a  ", "# c", "?", "? a", ":", "=", "<<", "é",
    "'a' b", '"a"b', "a:", "[]", "{}", '["*"]', "[a, 'b'] # c", "{ a: 1, b: [c] }", "{a: 1, a: 2}", "[a,]", "[a: b]",
    "{a}", "[a b]", "[ -1, {a: ~} ]", '{"@type": x.y/z}', "[a", "[]a", "[#]", '["#"]', "[http://x]", "[?a]", "[,]",
    "...", "---", "a\tb",
]  # fmt: skip
KEYS = ["a", "b", "a", "name", "x-y", "a.b", '"@type"', "'k'", "1", "y", "é", "<<", "a b", "-a", "? a", "*a", "", '"']

lines = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "  ", "    ", "      ", " ", "   "]),
    st.sampled_from(["", "", "- ", "-   ", "- - ", "-"]),
    st.one_of(st.just(""), st.sampled_from(KEYS).map("{}:".format), st.sampled_from(KEYS).map("{}: ".format)),
    st.one_of(st.just(""), st.sampled_from(SCALARS)),
    st.sampled_from(["", "", "", " ", " # c", "#"]),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text("ab:#- '\"/*0\n", max_size=6)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab@-", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def by_events(text: str) -> tuple[Node | None, list[PolicyFault]]:
    warnings: list[PolicyFault] = []
    try:
        return Reader("f", warnings).read(text), warnings
    except PolicyError:
        return None, warnings


def agrees(text: str) -> bool:
    """Compare the two; tell whether lines were enough."""
    warnings: list[PolicyFault] = []
    found = read_lines(text, "f", warnings)
    if found is None:
        assert warnings == []
        return False
    assert (found, warnings) == by_events(text)
    return True


@given(st.lists(lines, max_size=8).map("\n".join))
@example("a:\n- b: 1\n  c:\n  - d\n  e:\nf: x")
@example("a:\n  - b\n  c: d")
@example("a: b\n  c")
@example("a:\n  b:\n c: d")
@example("- a\n-  b: c\n   d: e")
@example("a: 1\na: 2")
@example("# c\n\na: b # c\n   # d\nc:   ")
def test_lines_are_read_as_by_pyyaml(text: str) -> None:
    """Whatever lines take, PyYAML takes as well, and makes the same of."""
    agrees(text)


@given(values)
def test_what_pyyaml_writes_is_read_the_same(value: Any) -> None:
    """Documents that a program has written, in either style of lists."""
    agrees(yaml.safe_dump(value, sort_keys=False))


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=3), values, min_size=1), st.data())
def test_a_document_with_a_line_changed_is_read_the_same(value: Any, data: st.DataObject) -> None:
    """Indentation gone wrong, and lines of something else, are noticed."""
    text = yaml.safe_dump(value, sort_keys=False).split("\n")
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(lines | st.just(" " + text[at]) | st.just(text[at][1:]))
    agrees("\n".join(text))


PLAIN = """
# A policy as people write it.
static_resources:
  listeners:
  - name: "billing"   # ours
    address: 'x'
    domains: ["*", x]
    socket_address: { address: 0.0.0.0, port_value: 80 } # ours
  clusters:
    - {}
    - name: users
      connect_timeout: 0.25s
      type:
"""


def test_the_usual_form_takes_lines_alone() -> None:
    """Comments, quotes and both styles of lists need no parser."""
    assert agrees(PLAIN)


@pytest.mark.parametrize(
    "text",
    ["{a: 1}", "a: [1", "a: [a:b]", "a: {b}", "a: |\n  b", "a: &x b", "a: *x", "a: !t b", "a:\tb", "a: é",
     "a: b\n c", "--- a", "a: 'b", "",
     "a: b\n...\n", "- - a", 'a: "\\x41"', "? a\n: b", "a: b: c", "a\n", "a:\n  b: 1\n c: 2", "a: b\r\n"],
)  # fmt: skip
def test_whatever_is_unusual_is_left_to_pyyaml(text: str) -> None:
    """Nothing is guessed."""
    assert read_lines(text, "f", []) is None


def test_many_levels_are_left_to_pyyaml() -> None:
    """Who nests more than anybody does meets PyYAML's and Envoy's limits."""
    assert read_lines("\n".join(" " * level + "a:" for level in range(60)), "f", []) is None


def test_policies_of_this_repository_are_read_the_same() -> None:
    """Examples and documentation, whole files."""
    files = [*ROOT.rglob("*.yaml"), *ROOT.rglob("*.yml")]
    assert files
    for file in files:
        agrees(file.read_text())
