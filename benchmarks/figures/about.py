"""What a reader must know of the machine and the moment."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import ambassador_lib

from .. import compiled
from .results import About

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = (
    "ambassador_lib", "httpx", "httpcore", "h11", "sniffio", "anyio", "httptools", "aiohttp", "httpx2", "pyreqwest",
    "urllib3", "uvloop", "tenacity", "pybreaker", "opentelemetry-sdk", "opentelemetry-instrumentation-httpx",
)  # fmt: skip
"""Those whose version moves the figures; sniffio by its absence, too."""


def about_now(programs: Mapping[str, str] | None = None) -> About:
    """Describe this machine, now. `programs`: versions of what took part besides Python packages."""
    return About(
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory=_memory(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load=os.getloadavg(),
        versions=_installed() | dict(programs or {}),
    )


def _installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if ambassador_lib.__compiled__:
        found["ambassador_lib"] += " (compiled)"
    if compiled.amiss() is None:
        found["build/compiled"] = compiled.described()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
