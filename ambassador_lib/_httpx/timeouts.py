"""A timeout that nobody set, recognisable wherever it arrives."""

from __future__ import annotations

import httpx


class DefaultTimeout(dict[str, float | None]):
    """`request.extensions["timeout"]` where neither the client nor the call set one; equal to httpx's own value.

    A URL that the policy claims gets its timeouts from the policy then; any other transport reads the numbers.
    """

    __slots__ = ()  # each request has one


class UnsetTimeout(httpx.Timeout):
    """`client.timeout` as long as nobody sets it: httpx's default, recognisable in every request built from it."""

    __hash__ = None  # type: ignore[assignment]  # as httpx.Timeout

    def __init__(self, timeout: httpx.Timeout) -> None:
        super().__init__(timeout)

    def as_dict(self) -> dict[str, float | None]:
        """Return the timeouts by phase, in seconds."""
        return DefaultTimeout(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return httpx.Timeout(self) == (httpx.Timeout(other) if isinstance(other, UnsetTimeout) else other)

    def __repr__(self) -> str:
        return repr(httpx.Timeout(self))
