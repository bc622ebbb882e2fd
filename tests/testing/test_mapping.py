"""Policies pointed at upstreams: endpoints are swapped, and what TLS needs; everything else is production's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ambassador_lib import Policy
from ambassador_lib.policy.model.tls import UpstreamTlsContext
from ambassador_lib.testing.kit_tls import KitTls, kit_authority
from ambassador_lib.testing.mapping import Pointing
from ambassador_lib.testing.misuse import MisuseError, nearest

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
Document = dict[str, Any]


class Target:
    """What a mapping sees of an upstream."""

    def __init__(self, name: str, *, simulated: bool = True, endpoints: int | None = None) -> None:
        self.name = name
        self.is_simulated = simulated
        self.can_grow = endpoints is None
        self.count = endpoints or 1
        self.served: list[str] = []
        self.requests: list[object] = []
        self.dns = SimpleNamespace(address=("127.0.0.1", 5353), serves=self.serves)
        self.tls: KitTls | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("198.51.100.1", 8000 + number) for number in range(self.count)]

    def grow(self, count: int) -> None:
        self.count = max(self.count, count)

    def serves(self, name: str) -> None:
        self.served.append(name)

    def speak(self, tls: KitTls) -> None:
        self.tls = tls


def endpoint(address: str, port: int = 80, **fields: Any) -> Document:
    """Return an `LbEndpoint`."""
    at = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    at["endpoint"].update(fields.pop("endpoint", {}))
    return {**at, **fields}


def cluster(name: str, *groups: Document, **fields: Any) -> Document:
    """Return a cluster of these localities."""
    assignment = {"cluster_name": name, "endpoints": list(groups) or [{"lb_endpoints": [endpoint("10.0.0.1")]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment, **fields}


def tls(sni: str = "", **common: Any) -> Document:
    """Return a transport socket."""
    settings: Document = {"@type": TLS, "common_tls_context": common}
    if sni:
        settings["sni"] = sni
    return {"name": "tls", "typed_config": settings}


def policy(*clusters: Document) -> Policy:
    return Policy.parse({"static_resources": {"clusters": list(clusters)}})


def pointed(found: Policy, **upstreams: Target) -> Policy:
    pointing = Pointing()
    pointing.add(upstreams, found)
    return pointing.pointed(found)


def addresses(found: Policy, number: int = 0) -> list[list[str]]:
    """Return the addresses of a cluster, by locality."""
    assignment = found.clusters[number].load_assignment
    assert assignment is not None
    return [
        [f"{at.address}:{at.port_value}" for lb in group.lb_endpoints if (at := lb.endpoint.address.socket_address)]
        for group in assignment.endpoints
    ]


def test_endpoints_are_swapped_one_by_one_and_all_else_stays() -> None:
    """Localities, priorities, weights, metadata and health stay where they are; addresses become the upstream's."""
    near = {
        "locality": {"zone": "a"},
        "lb_endpoints": [
            endpoint("10.0.0.1", load_balancing_weight=3, metadata={"filter_metadata": {"envoy.lb": {"canary": True}}}),
            endpoint("10.0.0.2", health_status="DRAINING", endpoint={"hostname": "two"}),
        ],
    }
    far = {"priority": 1, "lb_endpoints": [endpoint("10.1.0.1")]}
    found = policy(cluster("pay", near, far, connect_timeout="0.25s", lb_policy="LEAST_REQUEST"))
    swapped = pointed(found, pay=Target("pay"))

    assert addresses(swapped) == [["198.51.100.1:8000", "198.51.100.1:8001"], ["198.51.100.1:8002"]]
    before, after = found.clusters[0], swapped.clusters[0]
    assert (after.connect_timeout, after.lb_policy, after.type) == (0.25, "LEAST_REQUEST", "STATIC")
    assert before.load_assignment is not None
    assert after.load_assignment is not None
    for was, now in zip(before.load_assignment.endpoints, after.load_assignment.endpoints, strict=True):
        assert (was.locality, was.priority, was.load_balancing_weight) == (
            now.locality, now.priority, now.load_balancing_weight,
        )  # fmt: skip
        for one, other in zip(was.lb_endpoints, now.lb_endpoints, strict=True):
            assert (one.metadata, one.load_balancing_weight, one.health_status, one.endpoint.hostname) == (
                other.metadata, other.load_balancing_weight, other.health_status, other.endpoint.hostname,
            )  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [(1, [1, 0]), (2, [1, 1]), (4, [1, 3])])
def test_a_number_of_endpoints_that_the_test_gave_wins(given: int, expected: list[int]) -> None:
    """Too many of the policy's are left out, and the last is repeated where there are too few."""
    found = policy(cluster("pay", {"lb_endpoints": [endpoint("10.0.0.1")]}, {"lb_endpoints": [endpoint("10.0.0.2")]}))
    swapped = pointed(found, pay=Target("pay", endpoints=given))
    assert [len(group) for group in addresses(swapped)] == expected


def test_health_checks_go_to_the_door_that_calls_use() -> None:
    """A port or address of its own for health checks is left out; its hostname and being switched off stay."""
    check = {"port_value": 9901, "hostname": "health", "disable_active_health_check": True}
    found = policy(cluster("pay", {"lb_endpoints": [endpoint("10.0.0.1", endpoint={"health_check_config": check})]}))
    assignment = pointed(found, pay=Target("pay")).clusters[0].load_assignment
    assert assignment is not None
    config = assignment.endpoints[0].lb_endpoints[0].endpoint.health_check_config
    assert config is not None
    assert (config.port_value, config.hostname, config.disable_active_health_check) == (0, "health", True)


def test_mapping_a_cluster_again_changes_nothing() -> None:
    """A policy that was pointed already may be given to a client that points it once more."""
    pointing = Pointing()
    found = policy(cluster("pay", {"lb_endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2")]}))
    pointing.add({"pay": Target("pay")}, found)
    once = pointing.pointed(found)
    assert pointing.pointed(once) == once


@pytest.mark.parametrize("simulated", [True, False])
def test_names_go_on_being_looked_up(simulated: bool) -> None:
    """A cluster of names keeps its type and them; who answers is the kit, for real ones on a port of its own."""
    found = policy(cluster("pay", {"lb_endpoints": [endpoint("pay.internal", 443)]}, type="STRICT_DNS"))
    after = pointed(found, pay=Target("pay", simulated=simulated)).clusters[0]
    assert after.type == "STRICT_DNS"
    assert addresses(pointed(found, pay=Target("pay"))) == [["pay.internal:8000"]]
    if simulated:
        assert after.dns_resolution_config is None
    else:
        assert after.dns_resolution_config is not None
        (server,) = after.dns_resolution_config.resolvers
        assert server.socket_address is not None
        assert server.socket_address.port_value == 5353


def test_a_cluster_of_several_names_has_an_endpoint_for_each() -> None:
    """Which host a name leads to is what its place in the policy says; it is known by its name still."""
    names = [endpoint("a.internal"), endpoint("b.internal")]
    swapped = pointed(policy(cluster("pay", {"lb_endpoints": names}, type="STRICT_DNS")), pay=Target("pay"))
    assert addresses(swapped) == [["198.51.100.1:8000", "198.51.100.1:8001"]]
    assert swapped.clusters[0].type == "STATIC"
    assignment = swapped.clusters[0].load_assignment
    assert assignment is not None
    assert [lb.endpoint.hostname for lb in assignment.endpoints[0].lb_endpoints] == ["a.internal", "b.internal"]


def test_endpoints_of_a_discovery_file_are_taken_as_they_are_now(tmp_path: Path) -> None:
    """A cluster of EDS has the localities that its file says, at the upstream's addresses."""
    kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    groups = [{"lb_endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2")]}]
    resource = {"@type": kind, "cluster_name": "pay", "endpoints": groups}
    (tmp_path / "eds.json").write_text(json.dumps({"resources": [resource]}))
    source = {"path_config_source": {"path": str(tmp_path / "eds.json")}, "resource_api_version": "V3"}
    found = policy({"name": "pay", "type": "EDS", "eds_cluster_config": {"eds_config": source}})
    swapped = pointed(found, pay=Target("pay"))
    assert (swapped.clusters[0].type, addresses(swapped)) == ("STATIC", [["198.51.100.1:8000", "198.51.100.1:8001"]])


# --- TLS ----------------------------------------------------------------------------------------------------------


def authority_file(folder: Path) -> Document:
    return {"filename": str(kit_authority().path)}


def context_of(found: Policy) -> UpstreamTlsContext:
    socket = found.clusters[0].transport_socket
    assert socket is not None
    assert isinstance(socket.typed_config, UpstreamTlsContext)
    return socket.typed_config


def test_certificates_become_those_of_the_kit(tmp_path: Path) -> None:
    """The CA and the client's certificate are the kit's, and the upstream asks for one; names are still checked."""
    matcher = {"san_type": "DNS", "matcher": {"suffix": ".billing.internal"}}
    validation = {
        "trusted_ca": authority_file(tmp_path),
        "match_typed_subject_alt_names": [matcher],
        "verify_certificate_spki": ["A" * 43 + "="],
    }
    issued = kit_authority().issue("app-of-production")
    own = {
        "certificate_chain": {"filename": str(issued.certificate)},
        "private_key": {"filename": str(issued.key)},
    }
    target = Target("pay", simulated=False)
    found = policy(
        cluster("pay", transport_socket=tls("pay.internal", validation_context=validation, tls_certificates=[own]))
    )
    after = context_of(pointed(found, pay=target))

    common = after.common_tls_context
    assert common is not None
    assert common.validation_context is not None
    assert common.validation_context.trusted_ca is not None
    assert common.validation_context.trusted_ca.inline_bytes == kit_authority().path.read_bytes()
    assert common.validation_context.verify_certificate_spki == ()
    assert common.validation_context.match_typed_subject_alt_names[0].matcher.suffix == ".billing.internal"
    assert common.tls_certificates[0].certificate_chain is not None
    assert b"BEGIN CERTIFICATE" in (common.tls_certificates[0].certificate_chain.inline_bytes or b"")
    assert after.sni == "pay.internal"
    assert target.tls is not None
    assert target.tls.client_authority == kit_authority().path
    assert target.tls.names == ("pay.internal", "upstream.billing.internal")


def test_nothing_is_verified_where_the_policy_verifies_nothing() -> None:
    """Without a trusted CA there is still none: what is tested is what runs."""
    target = Target("pay", simulated=False)
    common = context_of(pointed(policy(cluster("pay", transport_socket=tls("pay"))), pay=target)).common_tls_context
    assert common is not None
    assert common.validation_context is None
    assert target.tls is not None
    assert target.tls.client_authority is None


def test_a_simulation_needs_no_certificates() -> None:
    """No handshake is made there: of TLS, names and protocols are left."""
    validation = {"trusted_ca": authority_file(Path())}
    found = policy(cluster("pay", transport_socket=tls("pay", validation_context=validation, alpn_protocols=["h2"])))
    after = context_of(pointed(found, pay=Target("pay")))
    assert after.sni == "pay"
    assert after.common_tls_context is not None
    assert after.common_tls_context.validation_context is None
    assert after.common_tls_context.alpn_protocols == ("h2",)


@pytest.mark.parametrize(
    ("kind", "matcher"),
    [
        ("DNS", {"exact": "pay.internal"}),
        ("DNS", {"prefix": "pay."}),
        ("DNS", {"suffix": ".internal"}),
        ("DNS", {"contains": "internal"}),
        ("DNS", {"safe_regex": {"regex": "pay-[0-9]+"}}),
        ("URI", {"exact": "spiffe://internal/pay"}),
        ("URI", {"prefix": "spiffe://internal/"}),
        ("URI", {"suffix": "/pay"}),
        ("URI", {"contains": "pay"}),
    ],
)
def test_the_upstream_has_a_name_that_the_policy_asks_for(kind: str, matcher: Document) -> None:
    """Whatever the matcher, the certificate that the kit makes fits it."""
    from ambassador_lib.engine.tls import TlsSettings

    wanted = {"san_type": kind, "matcher": matcher}
    validation = {"trusted_ca": authority_file(Path()), "match_typed_subject_alt_names": [wanted]}
    target = Target("pay", simulated=False)
    context = context_of(
        pointed(policy(cluster("pay", transport_socket=tls("pay", validation_context=validation))), pay=target)
    )
    assert target.tls is not None
    names = [("DNS" if "://" not in name else "URI", name) for name in (*target.tls.names, "upstream.test")]
    TlsSettings.build(context).material().check_names(names, None)


# --- misuse -------------------------------------------------------------------------------------------------------


def test_a_cluster_that_the_policy_lacks_is_told_with_the_nearest() -> None:
    """A misspelt name of a cluster says what was meant."""
    with pytest.raises(MisuseError, match=r"no cluster 'billing_upstrem' .*did you mean 'billing_upstream'\?"):
        pointed(policy(cluster("billing_upstream")), billing_upstrem=Target("pay"))


def test_real_and_simulated_upstreams_do_not_mix() -> None:
    """Only one of them can have the time that passes."""
    with pytest.raises(MisuseError, match="real and simulated upstreams are mixed"):
        pointed(policy(cluster("a"), cluster("b")), a=Target("a"), b=Target("b", simulated=False))


def test_what_is_no_upstream_is_told() -> None:
    """A URL, say, is no upstream."""
    with pytest.raises(MisuseError, match=r"must be an upstream of the kit, such as `upstreams\.pay`"):
        pointed(policy(cluster("pay")), pay="http://localhost")  # type: ignore[arg-type]


def test_a_cluster_that_nobody_mapped_refuses_calls() -> None:
    """It is `None` for the client, and the call's error says what to write; the test is told at its end, too."""
    pointing = Pointing()
    found = policy(cluster("pay"), cluster("mail"))
    pointing.add({"pay": Target("pay")}, found)
    assert pointing.cluster(found.clusters[1]) is None
    with pytest.raises(MisuseError, match=r"the cluster 'mail', .* say `upstreams=\{'mail': \.\.\.\}`, beside 'pay'"):
        pointing.refuse("mail")
    assert len(pointing.misuses) == 1


def test_all_members_of_an_aggregate_are_mapped_or_none() -> None:
    """Failover to a cluster without an upstream would be found out too late, and an aggregate has no endpoints."""
    kind = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
    both = {
        "name": "both",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": kind, "clusters": ["first", "second"]},
        },
    }
    found = policy(cluster("first"), cluster("second"), both)
    with pytest.raises(MisuseError, match="'both' fails over to 'second', which is not mapped"):
        pointed(found, first=Target("first"))
    with pytest.raises(MisuseError, match="no endpoints of its own: map its members 'first', 'second'"):
        pointed(found, both=Target("both"))


def test_what_is_said_last_of_a_cluster_counts() -> None:
    """A test may map anew what its fixtures have mapped; a mapping that is refused changes nothing."""
    pointing = Pointing()
    found = policy(cluster("pay"), cluster("mail"))
    first, last = Target("first"), Target("last", endpoints=2)
    pointing.add({"pay": first, "mail": first}, found)
    pointing.pointed(found)
    with pytest.raises(MisuseError):
        pointing.add({"pay": Target("real", simulated=False)}, found)
    assert addresses(pointing.pointed(found)) == [["198.51.100.1:8000"]]
    pointing.add({"pay": last}, found)
    assert addresses(pointing.pointed(found)) == [["198.51.100.1:8000", "198.51.100.1:8001"]]
    assert pointing.target("mail") is first


def test_one_upstream_speaks_tls_or_does_not() -> None:
    """A real upstream for a plain and a TLS cluster would have to guess."""
    target = Target("pay", simulated=False)
    with pytest.raises(MisuseError, match="make an upstream for each"):
        pointed(policy(cluster("a"), cluster("b", transport_socket=tls("b"))), a=target, b=target)


@pytest.mark.parametrize(
    ("name", "names", "hint"),
    [
        ("biling", ["billing", "mail"], "did you mean 'billing'?"),
        ("x", ["b", "a"], "there are 'a', 'b'"),
        ("x", ["a"], "there is 'a'"),
        ("x", [], "there are none"),
    ],
)
def test_hints_name_the_nearest_or_all(name: str, names: list[str], hint: str) -> None:
    """A hint helps in any case."""
    assert nearest(name, names) == hint
