"""Load Envoy's own example configurations: `python -m tests.coverage.examples CHECKOUT...` writes a page of them.

Each CHECKOUT is a folder with YAML files: a checkout of envoyproxy/envoy (its `configs/` and `docs/`), of
envoyproxy/examples. Every file that is a bootstrap is loaded here, and validated by the real Envoy where that is
installed. What we refuse and Envoy accepts must be on the coverage list: the exit status is 1 if anything is not.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy

from .listed import Listed

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "envoy-examples.md"
_TOP = {"static_resources", "dynamic_resources", "admin", "node", "cluster_manager", "layered_runtime"}
_MISSING = ("cannot be read", "does not exist", "No such file", "Invalid path", "unable to read file")
_WAIT = 30.0


@dataclass
class Result:
    """One file: `envoy` and `ours` are empty where it was accepted, else say why not."""

    name: str
    envoy: str = ""
    ours: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)


def bootstraps(root: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, dict[str, Any]]]:
    """Yield name, path and content of each file that is a bootstrap."""
    for path in sorted(root.rglob("*.y*ml")):
        try:
            document = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue  # a template, several documents, or nothing of Envoy's
        if isinstance(document, dict) and _TOP & document.keys():
            yield str(path.relative_to(root)), path, document


def load(name: str, path: pathlib.Path, document: dict[str, Any], envoy: str | None, listed: Listed) -> Result:
    """Load one file both ways. Files that it names and this machine lacks count for neither side."""
    result = Result(name, _refusal(envoy, path))
    try:
        Policy.load(path)
    except PolicyError as error:
        for fault in error.faults:
            if any(words in fault.message for words in _MISSING):
                continue
            about = listed.names(fault, document)
            result.ours.append(f"{about or fault.path}: {fault.message}")
            if not about and not result.envoy:
                result.unlisted.append(f"{fault.location}: {fault.path}: {fault.message}")
    return result


def _refusal(envoy: str | None, path: pathlib.Path) -> str:
    if envoy is None:
        return "not asked"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [envoy, "--mode", "validate", "--concurrency", "1", "-l", "error", "-c", str(path.resolve())],
            cwd=folder, capture_output=True, text=True, timeout=_WAIT, check=False,
        )  # fmt: skip
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = lines[-1].rpartition("] ")[2] if lines else f"status {done.returncode}"
    return said.replace(f"{path.resolve().parent}/", "")[:200]


def page(results: list[Result]) -> str:
    """Render what was found."""
    count = Counter((not result.envoy, not result.ours) for result in results)
    lines = [
        "# Envoy's own example configurations",
        "",
        "Written by `python -m tests.coverage.examples`, which loads every bootstrap in Envoy's `configs/` and `docs/`",
        "and in its repository of examples, and has the real Envoy validate the same file. Files that an example names",
        "and that are not there (certificates, mostly) count for neither side. Whatever Envoy accepts and we refuse is",
        "a field or a type on the [coverage list](coverage.md).",
        "",
        f"{len(results)} files: {count[True, True]} accepted by both, {count[True, False]} by Envoy alone,",
        f"{count[False, True]} by us alone, {count[False, False]} by neither.",
        "",
    ]
    for title, chosen in (
        ("Accepted by both", [r for r in results if not r.envoy and not r.ours]),
        ("Accepted by Envoy, refused here", [r for r in results if not r.envoy and r.ours]),
        ("Refused by Envoy, accepted here", [r for r in results if r.envoy and not r.ours]),
        ("Refused by both", [r for r in results if r.envoy and r.ours]),
    ):
        lines += [f"## {title}", ""]
        for result in chosen:
            lines.append(f"- `{result.name}`")
            if result.envoy and not result.ours:
                lines.append(f"  - Envoy: {result.envoy}")
            lines += [f"  - {reason}" for reason in dict.fromkeys(result.ours)] if not result.envoy else []
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Load all, write the page, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage.examples", description=__doc__)
    parser.add_argument("checkout", nargs="+", type=pathlib.Path)
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, help="where the results are written")
    chosen = parser.parse_args(arguments)
    beside = pathlib.Path(sys.executable).with_name("envoy")
    envoy = str(beside) if beside.exists() else shutil.which("envoy")
    listed = Listed()
    files = [found for root in chosen.checkout for found in bootstraps(root)]
    results = []
    for number, (name, path, document) in enumerate(files, 1):
        print(f"\r{number}/{len(files)} {name:100.100}", end="", file=sys.stderr, flush=True)
        results.append(load(name, path, document, envoy, listed))
    print(file=sys.stderr)
    chosen.page.write_text(page(results))
    unlisted = [line for result in results for line in result.unlisted]
    print("\n".join(unlisted) if unlisted else f"{len(results)} files; every refusal is on the list")
    return int(bool(unlisted))


if __name__ == "__main__":
    sys.exit(main())
