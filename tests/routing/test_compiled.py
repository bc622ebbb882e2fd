"""What a compiled route knows beyond matching: times, limits, retry policy."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.policy.model.route import PreviousHostsPredicate, RetryPolicy, RouteAction
from ambassador_lib.routing.compiled import CompiledRoute
from ambassador_lib.routing.retry_rules import compile_rules

from .calls import compiled, direct, route, table, virtual_host


def acting(**fields: Any) -> CompiledRoute:
    return compiled(route(route=RouteAction(cluster="a", **fields)))


@pytest.mark.parametrize(
    ("configured", "expected"),
    [(None, 15.0), (0.0, None), (2.5, 2.5), (0.0001, None), (0.0019, 0.001), (1.001, 1.001), (0.29, 0.29)],
)
def test_the_timeout(configured: float | None, expected: float | None) -> None:
    """Unset is 15 s, 0 none, and fractions of milliseconds are cut off."""
    assert acting(timeout=configured).timeout == expected


@pytest.mark.parametrize(("configured", "expected"), [(None, None), (0.0, 0.0), (1.5, 1.5)])
def test_the_idle_timeout(configured: float | None, expected: float | None) -> None:
    """Unset leaves it to the connection manager, 0 turns it off."""
    assert acting(idle_timeout=configured).idle_timeout == expected


@pytest.mark.parametrize(
    ("code", "status"), [("SERVICE_UNAVAILABLE", 503), ("NOT_FOUND", 404), ("INTERNAL_SERVER_ERROR", 500)]
)
def test_cluster_not_found(code: str, status: int) -> None:
    """The status for a cluster that is not there can be chosen."""
    assert acting(cluster_not_found_response_code=code).cluster_not_found == status


def test_priority() -> None:
    """The priority is the action's."""
    assert (acting().priority, acting(priority="HIGH").priority) == ("DEFAULT", "HIGH")


OWN, SHARED = RetryPolicy(retry_on="5xx"), RetryPolicy(retry_on="reset", num_retries=3)


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [(OWN, SHARED, OWN), (None, SHARED, SHARED), (RetryPolicy(), SHARED, RetryPolicy()), (None, None, None)],
)
def test_the_retry_policy(own: RetryPolicy | None, shared: RetryPolicy | None, expected: RetryPolicy | None) -> None:
    """The route's replaces the virtual host's as a whole, an empty one included."""
    routes = table(virtual_host(route(route=RouteAction(cluster="a", retry_policy=own)), retry_policy=shared))
    assert routes.routes[0].retry_policy == expected


PREVIOUS = RetryPolicy.RetryHostPredicate(
    name="envoy.retry_host_predicates.previous_hosts", typed_config=PreviousHostsPredicate()
)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, (False, 0)),
        (RetryPolicy(host_selection_retry_max_attempts=5), (False, 5)),
        (RetryPolicy(retry_host_predicate=(PREVIOUS,)), (True, 1)),
        (RetryPolicy(retry_host_predicate=(PREVIOUS,), host_selection_retry_max_attempts=5), (True, 5)),
    ],
)
def test_reselections(policy: RetryPolicy | None, expected: tuple[bool, int]) -> None:
    """Only a predicate makes a retry pick again, once unless told otherwise."""
    rules = compile_rules(policy)
    assert (rules.chooses_hosts, rules.reselect) == expected


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("of_route", "of_host", "connection", "expected"),
    [
        ({}, {}, None, MIB),
        ({}, {}, 10, 10),
        ({"request_body_buffer_limit": 5}, {"request_body_buffer_limit": 7}, 3, 5),
        ({}, {"request_body_buffer_limit": 7}, 3, 7),
        ({"request_body_buffer_limit": 0}, {"request_body_buffer_limit": 7}, 3, 0),
        ({"per_request_buffer_limit_bytes": 5}, {}, 3, 3),
        ({"per_request_buffer_limit_bytes": 5}, {"per_request_buffer_limit_bytes": 1}, None, 5),
        ({}, {"per_request_buffer_limit_bytes": 2 * MIB}, None, MIB),
    ],
)
def test_how_much_of_a_body_is_kept(
    of_route: dict[str, Any], of_host: dict[str, Any], connection: int | None, expected: int
) -> None:
    """`request_body_buffer_limit` decides; the deprecated limit can only lower the listener's."""
    routes = table(virtual_host(route(**of_route), **of_host))
    assert routes.routes[0].body_limit(connection) == expected


def test_what_is_compiled_shows_itself() -> None:
    """Logs and test failures name route, virtual host and table."""
    routes = table(virtual_host(direct(200, name="r"), name="vh"), name="main")
    assert repr(routes) == "<RouteTable 'main': 1 virtual hosts, 1 routes>"
    assert repr(routes.routes[0]) == "<CompiledRoute 'r' of 'vh'>"
    assert repr(routes.virtual_hosts[0]) == "<CompiledVirtualHost 'vh': 1 routes>"
