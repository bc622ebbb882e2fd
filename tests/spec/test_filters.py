"""The seam of the HTTP filters (semantics 9, 1.1): their place, their order, and what a route sets for them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import FaultInjectedError

from .documents import ROUTER, TYPE, bootstrap, header
from .harness import Spec, told

FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
ALWAYS = {"numerator": 100}
FORWARD = {"match": {"prefix": "/"}, "route": {"cluster": "c"}}


def fault(status: int | None = None, **fields: Any) -> dict[str, Any]:
    """The configuration of a fault filter that aborts everything with `status`."""
    abort = {} if status is None else {"abort": {"http_status": status, "percentage": ALWAYS}}
    return {"@type": f"{TYPE}.filters.http.fault.v3.HTTPFault", **abort, **fields}


def filtered(*configs: dict[str, Any], disabled: bool = False, **parts: Any) -> dict[str, Any]:
    """A policy with these filters, named `f0`, `f1`, ..."""
    filters = [{"name": f"f{n}", "typed_config": config, "disabled": disabled} for n, config in enumerate(configs)]
    manager = {"http_filters": [*filters, ROUTER], **parts.pop("manager", {})}
    return bootstrap(manager=manager, **parts)


def setting(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """What a level sets for the filter `f0`."""
    wrapped = {"@type": FILTER_CONFIG, **({"config": config} if config is not None else {}), **fields}
    return {"typed_per_filter_config": {"f0": wrapped}}


def aborted(spec: Spec, path: str = "/", **arguments: Any) -> FaultInjectedError:
    with pytest.raises(FaultInjectedError) as caught:
        spec.get(path, **arguments)
    return caught.value


def status(spec: Spec, policy: dict[str, Any], path: str = "/") -> int:
    return spec.given(policy, local_replies="response").get(path).status_code


def test_a_filter_answers_before_the_router(spec: Spec) -> None:
    """Its reply is not retried, counts no try, and the upstream learns nothing of the call."""
    retry = {"retry_policy": {"retry_on": "5xx", "num_retries": 3}}
    error = aborted(spec.given(filtered(fault(503), route=retry)))
    report = told(error)
    assert (503, b"fault filter abort") == (error.response.status_code, error.response.content)
    assert (["FI"], "fault_filter_abort", "c") == (report.flags, report.details, report.cluster)
    assert [] == report.attempts
    assert [] == spec.upstream.seen
    assert isinstance(error, httpx.TransportError)


def test_the_route_changes_a_filters_reply_but_the_router_dresses_it_not(spec: Spec) -> None:
    """`response_headers_to_add` of all levels apply; the service time and the attempt count do not."""
    policy = filtered(
        fault(418),
        vhost={"include_attempt_count_in_response": True, "response_headers_to_add": [header("x-by", "vhost")]},
        routes=[{**FORWARD, "response_headers_to_add": [header("x-by", "route")]}],
    )
    headers = spec.given(policy, local_replies="response").get().headers
    assert ["route", "vhost"] == headers.get_list("x-by")
    assert "x-envoy-upstream-service-time" not in headers
    assert "x-envoy-attempt-count" not in headers


def test_filters_see_calls_that_no_route_claims(spec: Spec) -> None:
    """The 404 is the router's, so a filter may answer first."""
    routes = [{"match": {"prefix": "/known"}, "route": {"cluster": "c"}}]
    assert 418 == status(spec, filtered(fault(418), routes=routes), "/unknown")
    assert 404 == status(spec, filtered(fault(), routes=routes), "/unknown")


def test_the_first_filter_that_answers_wins(spec: Spec) -> None:
    """Filters run in the policy's order."""
    assert 501 == status(spec, filtered(fault(501), fault(502)))


@pytest.mark.parametrize(
    ("on_host", "on_route", "expected"),
    [
        (fault(410), None, 410),
        (fault(410), fault(411), 411),
        (None, fault(411), 411),
        (None, fault(), 200),
    ],
)
def test_the_most_specific_setting_takes_the_place_of_the_filters_own(
    spec: Spec, on_host: Any, on_route: Any, expected: int
) -> None:
    """A route's, else the virtual host's, else the filter's own."""
    host = {} if on_host is None else setting(on_host)
    route = {**FORWARD, **({} if on_route is None else setting(on_route))}
    assert expected == status(spec, filtered(fault(409), vhost=host, routes=[route]))


@pytest.mark.parametrize(
    ("disabled", "on_host", "on_route", "expected"),
    [
        (True, {}, {}, 200),
        (True, {}, setting({}), 409),
        (True, setting(fault(410)), {}, 410),
        (True, setting(fault(410)), setting(disabled=True), 200),
        (False, {}, setting(disabled=True), 200),
        (False, setting(disabled=True), setting({}), 409),
        (False, setting(fault(410)), setting({}), 410),
        (False, {}, setting(fault(410), disabled=True), 200),
    ],
)
def test_levels_turn_a_filter_on_and_off(
    spec: Spec, disabled: bool, on_host: Any, on_route: Any, expected: int
) -> None:
    """The most specific level decides; `config: {}` turns a filter on with what is set further out."""
    policy = filtered(fault(409), disabled=disabled, vhost=on_host, routes=[{**FORWARD, **on_route}])
    assert expected == status(spec, policy)


def test_a_weighted_cluster_has_settings_of_its_own(spec: Spec) -> None:
    """They beat the route's, and hold for the calls that the weights send there."""
    weights = [{"name": "c", "weight": 1, **setting(fault(411))}, {"name": "c", "weight": 0}]
    routes = [{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": weights}}, **setting(fault(410))}]
    assert 411 == status(spec, filtered(fault(409), routes=routes))


def test_a_setting_for_no_filter_changes_nothing(spec: Spec) -> None:
    """The name counts, not the type; Envoy takes a name that no filter has, and so do we, with a warning."""
    other = {"typed_per_filter_config": {"envoy.filters.http.fault": fault(410)}}
    spec.given(filtered(fault(), routes=[{**FORWARD, **other}]))
    assert 200 == spec.get().status_code
    assert any("no HTTP filter is named" in str(warning) for warning in spec.transport.policy.warnings)
