"""Policies written in Python are held to the same schema as files, and become equal to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ambassador_lib.errors import PolicyError, PolicyFault
from ambassador_lib.policy import (
    Address,
    CircuitBreaker,
    CircuitBreakers,
    Cluster,
    ClusterLoadAssignment,
    Endpoint,
    FractionalPercent,
    HealthCheck,
    HttpConnectionManager,
    HttpFilter,
    HttpProtocolOptions,
    LbEndpoint,
    Listener,
    LocalityLbEndpoints,
    Metadata,
    OutlierDetection,
    Policy,
    RetryPolicy,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    Router,
    SocketAddress,
    TransportSocket,
    UpstreamTlsContext,
    VirtualHost,
)

from .documents import document

ROUTE = "listeners[0].http_connection_manager.route_config.virtual_hosts[0].routes[0]"
ENDPOINT = "clusters[0].load_assignment.endpoints[0].lb_endpoints[0]"


# Tests of wrong types are wrong types: everything is built through `Any`.


def cluster(**changes: Any) -> Cluster:
    return Cluster(**{"name": "c", **changes})


def endpoint(address: Any = "127.0.0.1", **changes: Any) -> ClusterLoadAssignment:
    at = Endpoint(address=Address(socket_address=SocketAddress(address=address, port_value=8080)))
    lists: Any = [LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=at, **changes)])]  # type: ignore[arg-type]
    return ClusterLoadAssignment(cluster_name="c", endpoints=lists)


def listener(
    *, action: Any = None, retry: Any = None, filters: Any = None, domains: Any = None, manager: Any = None
) -> Listener:
    action = action or {"cluster": "c", "retry_policy": None if retry is None else RetryPolicy(**retry)}
    routes: Any = [Route(match=RouteMatch(prefix="/"), route=RouteAction(**action))]
    hosts: Any = [VirtualHost(name="v", domains=domains or ["*"], routes=routes)]
    http_filters: Any = filters or [HttpFilter(name="envoy.filters.http.router", typed_config=Router())]
    return Listener(
        name="l",
        address=Address(socket_address=SocketAddress(address="127.0.0.1", port_value=15001)),
        http_connection_manager=HttpConnectionManager(
            stat_prefix="p",
            route_config=RouteConfiguration(virtual_hosts=hosts),
            http_filters=http_filters,
            **(manager or {}),
        ),
    )


def faults(**parts: Any) -> tuple[PolicyFault, ...]:
    with pytest.raises(PolicyError) as caught:
        Policy(**parts)
    return caught.value.faults


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"name": 5}, "name", """expected a string, not 5; write "5\""""),
        ({"name": ""}, "name", "required field is missing"),
        ({"type": "EDS"}, "eds_cluster_config", "an EDS cluster needs an eds_cluster_config"),
        ({"type": "STRICT_DSN"}, "type", "no such value 'STRICT_DSN'; did you mean STRICT_DNS?"),
        ({"type": None}, "type", "no such value None"),
        ({"lb_policy": "CLUSTER_PROVIDED"}, "lb_policy", "brings no load balancer of its own"),
        ({"lb_policy": "ROUND_ROBBIN"}, "lb_policy", "did you mean ROUND_ROBIN?"),
        ({"lb_policy": "round_robin"}, "lb_policy", "did you mean ROUND_ROBIN?"),
        ({"connect_timeout": -1}, "connect_timeout", "-1 is not a duration"),
        ({"connect_timeout": 0}, "connect_timeout", "must be greater than 0s"),
        ({"connect_timeout": float("inf")}, "connect_timeout", "inf is not a duration"),
        ({"connect_timeout": 1e12}, "connect_timeout", "longer than Envoy's longest duration"),
        ({"connect_timeout": True}, "connect_timeout", "expected a number, not True"),
        ({"connect_timeout": "0.25s"}, "connect_timeout", "not '0.25s'; seconds as a number: 0.25"),
        ({"connect_timeout": "soon"}, "connect_timeout", "seconds as a number, such as 0.25"),
        ({"connect_timeout": timedelta(seconds=2)}, "connect_timeout", "seconds as a number: 2"),
        ({"respect_dns_ttl": "yes"}, "respect_dns_ttl", "expected True or False, not 'yes'"),
        ({"circuit_breakers": {"thresholds": []}}, "circuit_breakers", "expected CircuitBreakers, not a mapping"),
        ({"health_checks": "x"}, "health_checks", "expected a list of HealthCheck, not 'x'"),
        ({"circuit_breaker": CircuitBreaker(failure_rate=50)}, "circuit_breaker.failure_rate", "50 is out of range"),
        (
            {"circuit_breaker": CircuitBreaker(open_for="5s")},  # type: ignore[arg-type]
            "circuit_breaker.open_for",
            "seconds as a number: 5",
        ),
        ({"circuit_breaker": CircuitBreaker(window=0)}, "circuit_breaker.window", "must be greater than 0s"),
        (
            {"circuit_breaker": CircuitBreaker(minimum_requests=0)},
            "circuit_breaker.minimum_requests",
            "must be at least 1",
        ),
        (
            {"outlier_detection": OutlierDetection(max_ejection_percent=101)},
            "outlier_detection.max_ejection_percent",
            "must be at most 100",
        ),
        (
            {"circuit_breakers": CircuitBreakers(thresholds=(CircuitBreakers.Thresholds(max_requests=-1),))},
            "circuit_breakers.thresholds[0].max_requests",
            "-1 is out of range",
        ),
        (
            {"health_checks": [HealthCheck(timeout=1, interval=1, unhealthy_threshold=1, healthy_threshold=1)]},
            "health_checks[0]",
            "HealthCheck needs a health_checker; one of http_health_check, tcp_health_check",
        ),
        (
            {"http_protocol_options": HttpProtocolOptions(protocol="http3")},
            "http_protocol_options.protocol",
            "no such value 'http3'",
        ),
        (
            {"http_protocol_options": HttpProtocolOptions(idle_timeout="1m")},  # type: ignore[arg-type]
            "http_protocol_options.idle_timeout",
            "seconds as a number",
        ),
        (
            {"transport_socket": TransportSocket(name="tls", typed_config=UpstreamTlsContext)},
            "transport_socket.typed_config",
            "expected UpstreamTlsContext or RawBuffer, not the class UpstreamTlsContext",
        ),
        ({"transport_socket": TransportSocket(name="tls")}, "transport_socket.typed_config", "typed_config is missing"),
    ],
)
def test_a_wrong_cluster_is_refused_where_it_is_wrong(changes: dict[str, Any], path: str, words: str) -> None:
    """Types, names, ranges and oneofs hold in Python too, each at the full path of the field."""
    (fault,) = faults(clusters=[cluster(**changes)])
    assert fault.location == "<python>"
    assert fault.path == f"clusters[0].{path}"
    assert words in str(fault)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"retry": {"num_retries": -3}}, f"{ROUTE}.route.retry_policy.num_retries", "-3 is out of range"),
        (
            {"retry": {"num_retries": "3"}},
            f"{ROUTE}.route.retry_policy.num_retries",
            "expected a whole number, not '3'",
        ),
        ({"retry": {"retry_on": ["5xx", "reset"]}}, f"{ROUTE}.route.retry_policy.retry_on", 'write "5xx,reset"'),
        ({"action": {"cluster": "c", "timeout": "5s"}}, f"{ROUTE}.route.timeout", "seconds as a number: 5"),
        ({"action": {"cluster": "c", "cluster_header": "x"}}, f"{ROUTE}.route.cluster_header", "exclude one another"),
        ({"action": {"timeout": 5}}, f"{ROUTE}.route", "RouteAction needs a cluster_specifier"),
        ({"domains": "*"}, "listeners[0].http_connection_manager.route_config.virtual_hosts[0].domains", "write ['*']"),
        ({"filters": [Router()]}, "listeners[0].http_connection_manager.http_filters[0]", "expected HttpFilter"),
        (
            {"manager": {"headers_with_underscores_action": "REJECT"}},
            "listeners[0].http_connection_manager.headers_with_underscores_action",
            "did you mean REJECT_REQUEST?",
        ),
    ],
)
def test_a_wrong_listener_is_refused_where_it_is_wrong(changes: dict[str, Any], path: str, words: str) -> None:
    """What lies deep in a listener is found and named by its full path."""
    (fault,) = faults(listeners=[listener(**changes)], clusters=[cluster()])
    assert fault.path == path
    assert words in str(fault)


def test_the_path_of_an_endpoint_is_whole() -> None:
    """A fault deep in a cluster names every list on the way."""
    (fault,) = faults(clusters=[cluster(load_assignment=endpoint(health_status="UNHEALTY"))])
    assert str(fault).startswith(
        f"<python>: {ENDPOINT}.health_status: no such value 'UNHEALTY'; did you mean UNHEALTHY?"
    )


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"clusters": ["x"]}, "<python>: clusters[0]: expected Cluster, not 'x'"),
        ({"clusters": "x"}, "<python>: clusters: expected a list of Cluster, not 'x'"),
        ({"clusters": Cluster(name="c")}, "expected a list of Cluster, not Cluster; write clusters=[Cluster(...)]"),
        ({"listeners": 5}, "<python>: listeners: expected a list of Listener, not 5"),
        ({"node": "me"}, "<python>: node: expected Node, not 'me'"),
        ({"runtime": [1]}, "<python>: runtime: expected a mapping"),
        ({"runtime": {"a": 0.5}}, """<python>: runtime["a"]: a runtime value is"""),
        ({"runtime": {"a": FractionalPercent(denominator="TEN")}}, """runtime["a"].denominator: no such value 'TEN'"""),
    ],
)
def test_the_parts_of_a_policy_are_lists_of_their_classes(parts: dict[str, Any], words: str) -> None:
    """What is not a list of clusters, or a listener, is refused by the constructor."""
    (fault,) = faults(**parts)
    assert words in str(fault)


def test_everything_wrong_is_reported_at_once() -> None:
    """The walk does not stop at the first fault."""
    found = faults(clusters=[cluster(type="X", connect_timeout="1s"), cluster(name=1)])
    assert [fault.path for fault in found] == ["clusters[0].type", "clusters[0].connect_timeout", "clusters[1].name"]


def test_a_policy_written_with_lists_equals_its_file() -> None:
    """Lists become tuples at every depth, so the policy is hashable, unchangeable and equal to the file's."""
    policy = Policy(listeners=[listener()], clusters=[cluster(load_assignment=endpoint())])
    read = Policy.parse(document())
    assert policy == read
    assert hash(policy) == hash(read)
    assignment = policy.clusters[0].load_assignment
    assert assignment is not None
    assert isinstance(assignment.endpoints[0].lb_endpoints, tuple)


def test_a_policy_made_of_a_file_s_parts_is_the_same_policy() -> None:
    """What a file gave passes the checks of Python as it is, breaker and metadata included."""
    metadata = "metadata: {filter_metadata: {ambassador_lib: {circuit_breaker: {failure_rate: 0.25, window: 2s}}}}"
    read = Policy.parse(document(cluster=f"{metadata}, connect_timeout: 1s"))
    assert Policy(listeners=read.listeners, clusters=read.clusters, runtime=read.runtime, node=read.node) == read


def test_what_the_author_keeps_is_not_the_policy_s() -> None:
    """A list that is changed later changes nothing."""
    domains = ["*"]
    policy = Policy(listeners=[listener(domains=domains)], clusters=[cluster()])
    domains.append("b.test")
    table = policy.listeners[0].http_connection_manager.route_config
    assert table is not None
    assert table.virtual_hosts[0].domains == ("*",)


def test_metadata_in_python_makes_the_breaker_too() -> None:
    """The breaker's metadata means the same wherever it is written."""
    content = {"ambassador_lib": {"circuit_breaker": {"failure_rate": 0.25, "window": "2s"}}}
    policy = Policy(
        listeners=[listener()],
        clusters=[cluster(metadata=Metadata(filter_metadata=content), load_assignment=endpoint())],
    )
    assert policy.clusters[0].circuit_breaker == CircuitBreaker(failure_rate=0.25, window=2.0)
    metadata = "metadata: {filter_metadata: {ambassador_lib: {circuit_breaker: {failure_rate: 0.25, window: 2s}}}}"
    assert policy == Policy.parse(document(cluster=metadata))
    hash(policy)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"ambassador_lib": {"circuit_breaker": {"failure_rte": 1}}}, "did you mean failure_rate?"),
        ({"ambassador_lib": {"circuit_braker": {}}}, "ambassador_lib has no setting 'circuit_braker'"),
        ({"ambassador_lib": {"circuit_breaker": {"failure_rate": 50}}}, "50 is out of range"),
        ({"ambassador_lib": 5}, "expected a mapping, not 5"),
        ({"a": {"b": object()}}, "an object cannot stand in a policy"),
        ([], "expected a mapping, not a list"),
    ],
)
def test_wrong_metadata_is_refused(content: Any, words: str) -> None:
    """Misspelt settings and what no document can hold are errors."""
    (fault,) = faults(clusters=[cluster(metadata=Metadata(filter_metadata=content))])
    assert words in str(fault)
    assert fault.path.startswith("clusters[0].metadata.filter_metadata")


def test_two_breakers_that_differ_are_refused() -> None:
    """A cluster has one breaker: the field and the metadata must agree."""
    metadata = Metadata(filter_metadata={"ambassador_lib": {"circuit_breaker": {}}})
    assert Policy(clusters=[cluster(metadata=metadata, circuit_breaker=CircuitBreaker())])
    (fault,) = faults(clusters=[cluster(metadata=metadata, circuit_breaker=CircuitBreaker(window=1))])
    assert fault.path == "clusters[0].circuit_breaker"
