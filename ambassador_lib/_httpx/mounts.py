"""Which transport a URL goes through where `mounts=`, `proxy=` or the environment have given a client several."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import httpx
from httpx._utils import URLPattern

from .urls import KEPT_URLS, origin_of


class Mounts:
    """Finds a URL's transport; patterns are gone through once an origin, as long as nobody changes the mounts."""

    def __init__(self, of_environment: AbstractSet[URLPattern]) -> None:
        """`of_environment`: what HTTP_PROXY and the like have put there, which the application did not ask for."""
        self._of_environment = of_environment
        self._seen: list[Any] = []
        self._by_origin: dict[tuple[str, str, int | None], tuple[Any, bool]] = {}

    def find(self, mounts: Mapping[URLPattern, Any], url: httpx.URL) -> tuple[Any, bool]:
        """Return the transport of the first mount that matches, and whether the application has asked for it.

        The transport is `None` where it is the client's own.
        """
        current = [*mounts, *mounts.values()]
        if current != self._seen or len(self._by_origin) > KEPT_URLS:
            self._seen, self._by_origin = current, {}
        by_origin, origin = self._by_origin, origin_of(url)
        found = by_origin.get(origin)
        if found is None:
            found = by_origin[origin] = self._search(mounts, url)
        return found

    def _search(self, mounts: Mapping[URLPattern, Any], url: httpx.URL) -> tuple[Any, bool]:
        for pattern, transport in mounts.items():
            if pattern.matches(url):
                return transport, transport is not None and pattern not in self._of_environment
        return None, False
