"""The page docs/coverage.md: `python -m tests.coverage.page` writes it, a test compares it."""

from __future__ import annotations

import pathlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from ambassador_lib.policy.coverage import (
    BOOTSTRAP,
    NO_EFFECT,
    NOTED,
    REFUSED,
    SAME,
    covered,
    fields_set,
    refused_types,
)
from ambassador_lib.policy.schema import envoy
from ambassador_lib.policy.walk import Walk
from ambassador_lib.policy.yaml_nodes import from_file, from_python
from tests.parity.suite import bootstraps

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "coverage.md"

_HEAD = f"""\
# What of Envoy's schema is covered

Written by `python -m tests.coverage.page` from the tables that the loader itself works by; a test fails when it is
stale. It has every field that can be reached from a bootstrap's outbound part:

- *{SAME}*: what Envoy does with it, we do. The scenario named beside it sets the field, and runs through the real Envoy
  and through both clients in the test suite.
- *{NOTED}*: the same within the bounds of the note.
- *{REFUSED}*: a policy that sets it is refused when it is loaded, with this reason and the field's place in the file.
- *{NO_EFFECT}*: it concerns the proxy's own process, sockets or stats; it is accepted with a warning.

What Envoy does differently on purpose stands in [parity.md](parity.md); Envoy's own example configurations in
[envoy-examples.md](envoy-examples.md).
"""


def shown_by(documents: Mapping[str, Any]) -> dict[str, str]:
    """Return for each field the scenario that shows it: the one that sets the fewest fields beside it."""
    sets = {name: _fields(document, name) for name, document in documents.items()}
    shown: dict[str, str] = {}
    for name in sorted(sets, key=lambda name: (len(sets[name]), name)):
        for field in sorted(sets[name]):
            shown.setdefault(field, name)
    return shown


def _fields(document: Any, name: str) -> frozenset[str]:
    root = from_file(document, name) if isinstance(document, str) else from_python(document, name)
    return frozenset(fields_set(Walk(envoy()).document(root, BOOTSTRAP)))


def render(shown: Mapping[str, str]) -> str:
    """Render the page; `shown` is the scenario of each field."""
    lines = covered(envoy())
    count = Counter(line.verdict for line in lines)
    parts = [_HEAD, ", ".join(f"{count[verdict]} {verdict}" for verdict in (SAME, NOTED, REFUSED, NO_EFFECT)) + ".\n"]
    for message, group in groupby(lines, key=lambda line: line.message):
        parts += [f"## `{message}`\n", "| field | | why | scenario |\n|---|---|---|---|"]
        parts += [
            f"| `{line.field}` | {line.verdict} | {_cell(line.reason)} | {_scenario(shown.get(line.name, ''))} |"
            for line in group
        ]
        parts.append("")
    parts += ["## Extensions that are refused\n", "| type | why |\n|---|---|"]
    parts += [f"| `{name}` | {_cell(reason)} |" for name, reason in refused_types(envoy()).items()]
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _scenario(name: str) -> str:
    return f"`{name}`" if name else ""


def unshown(shown: Mapping[str, str]) -> list[str]:
    """Return the fields that are said to be the same and that no scenario sets."""
    return [line.name for line in covered(envoy()) if line.verdict in (SAME, NOTED) and line.name not in shown]


def main(arguments: Iterable[str] = ()) -> int:
    """Write the page; with `--unshown` list the fields that no scenario sets."""
    shown = shown_by(bootstraps())
    if "--unshown" in arguments:
        print("\n".join(unshown(shown)))
        return 0
    PAGE.write_text(render(shown))
    print(f"written: {PAGE.relative_to(pathlib.Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
