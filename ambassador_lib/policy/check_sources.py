"""Envoy's checks of where resources are discovered: the files must be there when it starts (semantics 8.3)."""

from __future__ import annotations

from pathlib import Path

from .findings import Findings
from .model.core import ConfigSource


def check_source(findings: Findings, source: ConfigSource, *, may_be_missing: bool = False) -> None:
    """Check that there is a file to follow."""
    file = source.path_config_source
    if file is None or may_be_missing:
        return  # without one it is reported by the schema's rules
    if file.path and not Path(file.path).exists():
        findings.fault(file, "path", f"{file.path} does not exist")
    watched = file.watched_directory
    if watched is not None and watched.path and not Path(watched.path).exists():
        findings.fault(watched, "path", f"{watched.path} does not exist")
