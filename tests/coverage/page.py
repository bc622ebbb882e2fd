"""The page docs/coverage.md: `python -m tests.coverage.page` writes it, a test compares it."""

from __future__ import annotations

import json
import pathlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ambassador_lib.policy.coverage import (
    BOOTSTRAP,
    NO_EFFECT,
    NOTED,
    REFUSED,
    SAME,
    Coverage,
    covered,
    fields_set,
    refused_types,
)
from ambassador_lib.policy.parsed import Place
from ambassador_lib.policy.schema import envoy
from ambassador_lib.policy.walk import Walk
from ambassador_lib.policy.yaml_nodes import from_file, from_python

from .unseen import UNSEEN

RECORD = pathlib.Path(__file__).with_name("shown.json")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "coverage.md"

_HEAD = f"""\
# What of Envoy's schema is covered

Written by `python -m tests.coverage.page` from the tables that the loader itself works by; a test fails when it is
stale. It has every field that can be reached from a bootstrap's outbound part:

- *{SAME}*: what Envoy does with it, we do. The scenario named beside it runs through the real Envoy and through both
  clients in the test suite, and is known to fail where the field is ignored (`python -m tests.coverage.ignored`).
  Where none is named the page says why the field cannot be seen from outside.
- *{NOTED}*: the same within the bounds of the note.
- *{REFUSED}*: a policy that sets it is refused when it is loaded, with this reason and the field's place in the file.
- *{NO_EFFECT}*: it concerns the proxy's own process, sockets or stats; it is accepted with a warning.

What Envoy does differently on purpose stands in [parity.md](parity.md); Envoy's own example configurations in
[envoy-examples.md](envoy-examples.md).
"""


def setting(documents: Mapping[str, Any], resources: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Return for each field the scenarios that set it, by their bootstraps and by what they discover.

    First come those that set the fewest fields beside it.
    """
    sets = {name: _fields(document, resources.get(name, ()), name) for name, document in documents.items()}
    found: dict[str, list[str]] = {}
    for name in sorted(sets, key=lambda name: (len(sets[name]), name)):
        for field in sorted(sets[name]):
            found.setdefault(field, []).append(name)
    return found


def _fields(document: Any, resources: Sequence[Any], name: str) -> frozenset[str]:
    root = from_file(document, name) if isinstance(document, str) else from_python(document, name)
    found = set(fields_set(Walk(envoy()).document(root, BOOTSTRAP)))
    for resource in resources:
        node = from_python(resource, name)
        parsed = Walk(envoy(), lenient=True).any(node, Place(node.at, ""))
        found.update(fields_set(parsed) if parsed is not None else ())
    return frozenset(found)


def recorded() -> dict[str, str]:
    """Return for each field the scenario that was seen to fail where it is ignored (`ignored.py`)."""
    found: dict[str, str] = json.loads(RECORD.read_text())
    return found


def render(shown: Mapping[str, str]) -> str:
    """Render the page; `shown` is the scenario of each field."""
    lines = covered(envoy())
    count = Counter(line.verdict for line in lines)
    parts = [_HEAD, ", ".join(f"{count[verdict]} {verdict}" for verdict in (SAME, NOTED, REFUSED, NO_EFFECT)) + ".\n"]
    for message, group in groupby(lines, key=lambda line: line.message):
        parts += [f"## `{message}`\n", "| field | | why | scenario |\n|---|---|---|---|"]
        parts += [
            f"| `{line.field}` | {line.verdict} | {_cell(_reason(line))} | {_scenario(shown.get(line.name, ''))} |"
            for line in group
        ]
        parts.append("")
    parts += ["## Extensions that are refused\n", "| type | why |\n|---|---|"]
    parts += [f"| `{name}` | {_cell(reason)} |" for name, reason in refused_types(envoy()).items()]
    return "\n".join(parts) + "\n"


def _reason(line: Coverage) -> str:
    unseen = f"cannot be seen from outside: {UNSEEN[line.name]}" if line.name in UNSEEN else ""
    return "; ".join(filter(None, (line.reason, unseen)))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _scenario(name: str) -> str:
    return f"`{name}`" if name else ""


def acted_on() -> list[str]:
    """Return the fields that are said to be the same."""
    return [line.name for line in covered(envoy()) if line.verdict in (SAME, NOTED)]


def main() -> int:
    """Write the page."""
    PAGE.write_text(render(recorded()))
    print(f"written: {PAGE.relative_to(pathlib.Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
