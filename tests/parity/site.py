"""Where one side of a scenario takes place: its ports, its folder, and the documents written with both."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from . import certificates
from .upstreams.server import reserve

_PLACE = re.compile(r"\$\{(port|file|pem|spki|sum):([^}]+)\}")


def placed(document: Any, place: Callable[[str, str], str | int]) -> Any:
    """Return the document with each `${kind:name}` replaced by `place(kind, name)`."""
    if isinstance(document, Mapping):
        return {key: placed(value, place) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [placed(value, place) for value in document]
    if not isinstance(document, str):
        return document
    if (whole := _PLACE.fullmatch(document)) is not None:
        return place(whole[1], whole[2])
    return _PLACE.sub(lambda found: str(place(found[1], found[2])), document)


class Site:
    """Ports are given out by name, upstreams' before all others, and stay taken until `close`."""

    def __init__(self, folder: Path, certificates: Path, ports: list[int]) -> None:
        self.folder, self.certificates = folder, certificates
        self._spare = ports
        self._ports: dict[str, int] = {}
        self._held: list[socket.socket] = []

    def next_port(self) -> int:
        """A port for an upstream: 0 for any, or one of those that all sides share."""
        return self._spare.pop(0) if self._spare else 0

    def name_port(self, name: str, port: int) -> None:
        self._ports[name] = port

    def port(self, name: str) -> int:
        """The port of the upstream or listener `name`."""
        if name not in self._ports:
            held = reserve("127.0.0.1", self.next_port())
            self._held.append(held)
            self._ports[name] = held.getsockname()[1]
        return self._ports[name]

    @property
    def listeners(self) -> list[int]:
        """The ports given out that are not upstreams'."""
        return [held.getsockname()[1] for held in self._held]

    def path(self, name: str) -> Path:
        return self.folder / name

    def placed(self, document: Any) -> Any:
        return placed(document, self._place)

    def write(self, name: str, document: Any, *, moved: bool = True) -> Path:
        """Write a document (YAML unless it is text) with all in its place; it is moved there unless told otherwise."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = self.placed(document)
        if not isinstance(text, str):
            text = dump(text)
        if not moved:
            path.write_text(text)
            return path
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text)
        os.replace(fresh, path)
        return path

    def close(self) -> None:
        for held in self._held:
            held.close()

    def _place(self, kind: str, name: str) -> str | int:
        if kind == "port":
            return self.port(name)
        if kind in ("spki", "sum"):
            return certificates.pin(self.certificates / f"{name}.crt", kind)
        return str(self.path(name) if kind == "file" else self.certificates / name)


def dump(document: Any) -> str:
    """Return the document as YAML that Envoy's reader and PyYAML understand alike."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False))


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Envoy reads a bare y or n as a boolean, PyYAML as text.
    style = '"' if value.lower() in {"y", "n"} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
