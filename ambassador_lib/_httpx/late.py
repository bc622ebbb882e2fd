"""httpx's transports, made when something first goes through them."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import os
import ssl
from typing import Any, ClassVar, Self

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport

LATE_OPTIONS = ("verify", "http1", "http2", "limits")


def can_wait(options: dict[str, Any]) -> bool:
    """Tell whether nothing about a transport's options can be wrong, so that it may be made later."""
    return (
        options.get("transport") is None
        and isinstance(options["verify"], (bool, ssl.SSLContext))
        and not options["cert"]
        and isinstance(options["limits"], httpx.Limits)
        and not (options["trust_env"] and (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")))
    )


class _Late:
    """A transport of httpx's whose pool is made by the first who asks for it.

    Making one reads all certificates there are, which takes as long as everything else that a client does when it is
    made, and a policy's URLs do not go through it.
    """

    _kind: ClassVar[type]
    _options: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name != "_pool":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        # Of two threads that both make one, one is late: its pool has never been used.
        return vars(self).setdefault(name, self.make_pool())

    def make_pool(self) -> Any:
        """Return a pool with the transport's options."""
        return self._kind(**self._options)._pool

    @property
    def is_made(self) -> bool:
        return "_pool" in vars(self)


class LateTransport(_Late, HTTPTransport):
    """`HTTPTransport`, made late."""

    _kind = HTTPTransport

    def __init__(self, **options: Any) -> None:
        self._options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was made."""
        if self.is_made:
            super().close()


class AsyncLateTransport(_Late, AsyncHTTPTransport):
    """`AsyncHTTPTransport`, made late."""

    _kind = AsyncHTTPTransport

    def __init__(self, **options: Any) -> None:
        self._options = options

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what was made."""
        if self.is_made:
            await super().aclose()
