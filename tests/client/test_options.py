"""Mistakes in the parameters are told where the client is built, by the parameter's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pybreaker
import pytest
import tenacity

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, AsyncClient, Client

from .conftest import MakeClient
from .documents import policy


class Timeless:
    """A clock that lacks most of a clock."""

    def monotonic(self) -> float:
        return 0.0


MISTAKES: list[tuple[str, Any]] = [
    ("retry", 3),
    ("retry", tenacity.retry),
    ("breaker_listeners", 5),
    ("breaker_listeners", "listener"),
    ("breaker_listeners", pybreaker.CircuitBreakerListener()),
    ("breaker_listeners", [pybreaker.CircuitBreakerListener]),
    ("breaker_storage", 3),
    ("breaker_storage", pybreaker.CircuitMemoryStorage("closed")),
    ("clock", 3),
    ("clock", Timeless()),
    ("random", 0.5),
]


@pytest.mark.parametrize(("name", "value"), MISTAKES)
@pytest.mark.parametrize("document", [None, policy()])
def test_a_value_of_a_wrong_type_is_refused_at_once(
    make_client: MakeClient, document: Any, name: str, value: Any
) -> None:
    """With a policy and without, a TypeError names the parameter."""
    with pytest.raises(TypeError, match=f"^{name}="):
        make_client(document, **{name: value})


def test_listeners_may_come_from_a_generator(make_client: MakeClient) -> None:
    """They are gone through once for each breaker."""
    listener = pybreaker.CircuitBreakerListener()
    client = make_client(breaker_listeners=(each for each in [listener]))
    assert client._ambassador()._options.breaker_listeners == (listener,)


@pytest.mark.parametrize(
    ("make", "name", "transport"),
    [
        (Client, "transport", httpx.AsyncHTTPTransport()),
        (Client, "transport", 3),
        (Client, "transport", httpx.HTTPTransport),
        (AsyncClient, "transport", httpx.HTTPTransport()),
        (AmbassadorTransport, "inner", httpx.AsyncHTTPTransport()),
        (AsyncAmbassadorTransport, "inner", httpx.HTTPTransport()),
    ],
)
@pytest.mark.parametrize("document", [None, policy()])
def test_a_transport_of_the_other_kind_is_refused(
    make: Callable[..., Any], name: str, transport: Any, document: Any
) -> None:
    """A blocking client cannot await, and an async one must not block."""
    with pytest.raises(TypeError, match=f"^{name}=.*httpx\\.(Async)?BaseTransport"):
        make(document, **{name: transport})
