"""All scenarios: found in `scenarios/`, by name and by area (the module's name)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

from . import certificates, probes, scenarios
from .model import Do, Scenario, Several, Together
from .site import placed

FIRST_PLACEHOLDER = 40001


@cache
def areas() -> dict[str, list[Scenario]]:
    """Return the scenarios by area."""
    found: dict[str, list[Scenario]] = {}
    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda module: module.name):
        loaded = importlib.import_module(f"{scenarios.__name__}.{module.name}")
        found[module.name] = list(loaded.SCENARIOS)
    return found


@cache
def everything() -> dict[str, Scenario]:
    """Return the scenarios by name, which is theirs alone (`test_harness.py`)."""
    return {scenario.name: scenario for members in areas().values() for scenario in members}


def find(name: str) -> Scenario:
    """Return a scenario of the suite, or one that the harness is tested with."""
    return everything().get(name) or next(one for one in probes.PROBES if one.name == name)


def area_of(name: str) -> str:
    """Return the area of a scenario."""
    return next(area for area, members in areas().items() if any(one.name == name for one in members))


def bootstraps() -> dict[str, Any]:
    """Return each scenario's bootstrap (a dict, or YAML text) with ports from 40001 on and no file behind its paths."""
    return {name: _rendered(scenario.policy) for name, scenario in everything().items()}


def discovered() -> dict[str, list[Any]]:
    """Return the resources in each scenario's files, those that it begins with and those that come later."""
    return {
        name: [resource for document in _files(scenario) for resource in _resources(_rendered(document))]
        for name, scenario in everything().items()
    }


def _files(scenario: Scenario) -> Iterator[Any]:
    yield from scenario.files.values()
    steps = list(scenario.calls)
    while steps:
        step = steps.pop()
        if isinstance(step, Several | Together):
            steps += step.steps
        elif isinstance(step, Do):
            yield step.document


def _resources(document: Any) -> list[Any]:
    found = document.get("resources") if isinstance(document, dict) else None
    return [one for one in found if isinstance(one, dict) and "@type" in one] if isinstance(found, list) else []


def _rendered(document: Any) -> Any:
    ports: dict[str, int] = {}

    def place(kind: str, name: str) -> str | int:
        if kind == "port":
            return ports.setdefault(name, FIRST_PLACEHOLDER + len(ports))
        return certificates.EXAMPLES.get(kind) or f"/parity/{kind}/{name}"

    return placed(document, place)
