"""Policies of all kinds pointed at upstreams, at work: discovery files, names, health checks, mirrors, TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import AsyncClient, Client, Policy, PolicyError
from ambassador_lib.testing import Kit, MisuseError, assert_calls, mapped_policy, simulation, uniform

from .documents import CHARGES, billing, plain, policy
from .test_kit import secured

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


@pytest.fixture
def kit() -> Iterator[Kit]:
    """A simulated world."""
    with simulation() as made:
        yield made


def from_file(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def named(name: str = "billing.internal", kind: str = "STRICT_DNS", **fields: Any) -> dict[str, Any]:
    """Return the fields of a cluster that is one name."""
    at = {"endpoint": {"address": {"socket_address": {"address": name, "port_value": 443}}}}
    assignment = {"cluster_name": "billing_upstream", "endpoints": [{"lb_endpoints": [at]}]}
    return {"type": kind, "dns_lookup_family": "V4_ONLY", "load_assignment": assignment, **fields}


def test_clusters_that_a_file_brings_are_pointed_too(kit: Kit, tmp_path: Path) -> None:
    """CDS is read as in production; the mapping goes by names."""
    resource = {"@type": CLUSTER, **billing()}
    (tmp_path / "cds.json").write_text(json.dumps({"resources": [resource]}))
    document = policy()
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["validate_clusters"] = False
    document["static_resources"]["clusters"] = []
    document["dynamic_resources"] = {"cds_config": from_file(tmp_path / "cds.json")}
    document["node"] = {"id": "shop", "cluster": "shop"}
    payment = kit.simulated_upstreams.payment
    payment.replies(503, 200)
    kit.policy(document, upstreams={"billing_upstream": payment})
    with Client(document) as client:
        assert client.get(CHARGES).status_code == 200
    with pytest.raises(MisuseError, match="did you mean 'billing_upstream'"):
        kit.policy(document, upstreams={"billing_upstreem": payment})


def test_endpoints_that_a_file_brings_are_pointed_too(kit: Kit, tmp_path: Path) -> None:
    """EDS keeps its localities; the upstream has as many endpoints."""
    assignment = {"@type": ASSIGNMENT, **plain("billing_upstream", 3)["load_assignment"]}
    (tmp_path / "eds.json").write_text(json.dumps({"resources": [assignment]}))
    document = policy(type="EDS", eds_cluster_config={"eds_config": from_file(tmp_path / "eds.json")})
    del document["static_resources"]["clusters"][0]["load_assignment"]
    payment = kit.simulated_upstreams.payment
    payment.replies(200)
    kit.policy(document, upstreams={"billing_upstream": payment})
    with Client(document) as client:
        for _ in range(3):
            client.get(CHARGES)
    assert {seen.endpoint for seen in payment.requests} == {0, 1, 2}


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_names_are_answered_by_script_in_virtual_time(kit: Kit, kind: str) -> None:
    """Addresses change and lookups fail, at the policy's own pace of looking."""
    payment = kit.simulated_upstreams("payment", endpoints=2)
    payment.replies(200)
    payment.dns.answers(0, for_=20).then.fails(for_=20).then.answers(1)
    kit.policy(policy(**named(kind=kind)), upstreams={"billing_upstream": payment})
    with Client(policy(**named(kind=kind))) as client:
        for expected in (0, 0, 1):
            client.get(CHARGES)
            assert payment.requests[-1].endpoint == expected
            kit.virtual_time.sleep(30)


def test_a_name_that_is_never_found_is_no_host() -> None:
    """As in production: there is nobody to call."""
    with simulation() as kit:
        payment = kit.simulated_upstreams.payment
        payment.dns.has_no_such_name()
        kit.policy(policy(**named()), upstreams={"billing_upstream": payment})
        with Client(policy(**named())) as client, pytest.raises(httpx.ConnectError):
            client.get(CHARGES)


@pytest.mark.parametrize("backend", ["blocking", "asyncio", "trio"])
def test_names_are_looked_up_really_for_real_upstreams(backend: str) -> None:
    """A name server of the kit answers, with every endpoint of the upstream, by script."""
    document = policy(**named())
    with Kit() as kit:
        payment = kit.upstreams("payment", endpoints=2)
        payment.replies(200)
        payment.dns.answers(1)
        kit.policy(document, upstreams={"billing_upstream": payment})

        async def main() -> None:
            async with AsyncClient(document) as client:
                assert (await client.get(CHARGES)).status_code == 200

        if backend == "blocking":
            with Client(document) as client:
                assert client.get(CHARGES).status_code == 200
        else:
            anyio.run(main, backend=backend)
        assert [seen.endpoint for seen in payment.requests] == [1]


def test_health_checks_go_on_in_virtual_time(kit: Kit) -> None:
    """An endpoint that fails its checks gets no calls until it passes them again."""
    check = {
        "timeout": "1s",
        "interval": "5s",
        "no_traffic_interval": "5s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"path": "/health"},
    }
    document = policy(health_checks=[check])
    payment = kit.simulated_upstreams("payment", endpoints=2)
    payment.replies(200)
    kit.policy(document, upstreams={"billing_upstream": payment})
    with Client(document) as client:
        client.ready()

        def called() -> set[int]:
            payment.forget()
            for _ in range(4):
                client.get(CHARGES)
            return {seen.endpoint for seen in payment.requests}

        assert called() == {0, 1}
        payment.endpoint(0).is_healthy(False, for_=60)
        kit.virtual_time.sleep(20)
        assert called() == {1}
        kit.virtual_time.sleep(60)
        assert called() == {0, 1}


def test_a_mirror_needs_an_upstream_too(kit: Kit) -> None:
    """What is sent beside a call to a cluster that nobody mapped is told at the end."""
    document = policy("mail", route={"request_mirror_policies": [{"cluster": "mail"}]})
    payment, mail = kit.simulated_upstreams.payment, kit.simulated_upstreams.mail
    payment.replies(200)
    mail.replies(200)
    kit.policy(document, upstreams={"billing_upstream": payment})
    with Client(document) as client:
        assert client.get(CHARGES).status_code == 200
        kit.virtual_time.sleep(1)
        with pytest.raises(MisuseError, match="cluster 'mail'"):
            kit.check()
        kit.policy(document, upstreams={"mail": mail})
        client.get(CHARGES)
        kit.virtual_time.sleep(1)
    assert_calls(payment, tries=2)
    assert len(mail.requests) == 1
    forget_misuse(kit)


def forget_misuse(kit: Kit) -> None:
    assert kit._around is not None
    kit._around.pointing.misuses.clear()


def test_failover_follows_the_policy(kit: Kit) -> None:
    """Both members of an aggregate are upstreams of their own."""
    kind = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
    both = {
        "name": "billing_upstream",
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": kind, "clusters": ["near", "far"]},
        },
    }
    document = policy("near", "far")
    document["static_resources"]["clusters"][0] = both
    for cluster in document["static_resources"]["clusters"][1:]:
        cluster["outlier_detection"] = {"consecutive_5xx": 1, "max_ejection_percent": 100}
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    near, far = kit.simulated_upstreams.near, kit.simulated_upstreams.far
    near.is_down()
    far.replies(200)
    kit.policy(document, upstreams={"near": near, "far": far})
    with Client(document) as client:
        assert client.get(CHARGES).status_code == 200
    assert_calls(near, tries=1, statuses=[None])
    assert_calls(far, tries=1)


def test_the_tls_of_a_simulation_is_recorded(kit: Kit) -> None:
    """No handshake, no certificates; the name that would have been sent is seen."""
    payment = kit.simulated_upstreams.payment
    payment.replies(200)
    kit.policy(secured(), upstreams={"billing_upstream": payment})
    with Client(secured()) as client:
        client.get(CHARGES)
    assert payment.requests[0].server_name == "billing.internal"


def test_a_failed_handshake_is_a_fault_of_connections() -> None:
    """On a real wire, and in a simulation."""
    for make in (Kit, simulation):
        with make() as kit:
            payment = (kit.simulated_upstreams if kit.is_virtual else kit.upstreams).payment
            payment.fails_handshake(1).then.replies(200)
            kit.policy(secured(), upstreams={"billing_upstream": payment})
            with Client(secured()) as client:
                assert client.get(CHARGES).status_code == 200
            assert_calls(payment, tries=2, statuses=[httpx.ConnectError, 200])


def test_unix_sockets_become_upstreams_as_well(kit: Kit) -> None:
    """What production reaches by a path is an address here."""
    pipe = {"endpoint": {"address": {"pipe": {"path": "/run/billing.sock"}}}}
    assignment = {"cluster_name": "billing_upstream", "endpoints": [{"lb_endpoints": [pipe]}]}
    payment = kit.simulated_upstreams.payment
    payment.replies(200)
    kit.policy(policy(load_assignment=assignment), upstreams={"billing_upstream": payment})
    with Client(policy(load_assignment=assignment)) as client:
        assert client.get(CHARGES).status_code == 200


def test_what_only_production_has_may_be_missing() -> None:
    """Files of endpoints and of secrets, beside certificates; what is discovered otherwise is needed here, too."""
    document = secured(
        common={
            "tls_certificates": [],
            "tls_certificate_sds_secret_configs": [
                {"name": "shop", "sds_config": from_file(Path("/nowhere/sds.yaml"))},
            ],
        }
    )
    cluster = document["static_resources"]["clusters"][0]
    cluster["eds_cluster_config"] = {"eds_config": from_file(Path("/nowhere/eds.yaml"))}
    cluster["type"] = "EDS"
    del cluster["load_assignment"]
    with pytest.raises(PolicyError) as error:
        Policy.parse(document)
    assert str(error.value).count("does not exist") == 2
    for make in (Kit, simulation):
        with make() as kit:
            payment = (kit.simulated_upstreams if kit.is_virtual else kit.upstreams)("payment", endpoints=2)
            payment.replies(200)
            kit.policy(document, upstreams={"billing_upstream": payment})
            with Client(document) as client:
                assert client.get(CHARGES).status_code == 200


def test_a_log_that_cannot_be_written_is_no_obstacle(kit: Kit) -> None:
    """Paths of production need not exist."""
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    log = {"name": "log", "typed_config": {"@type": kind, "path": "/proc/nowhere/access.log"}}
    document = policy()
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = [log]
    payment = kit.simulated_upstreams.payment
    payment.replies(200)
    kit.policy(document, upstreams={"billing_upstream": payment})
    with Client(document) as client:
        assert client.get(CHARGES).status_code == 200


def test_two_policies_may_be_pointed_one_after_the_other(kit: Kit) -> None:
    """An application with two files has two mappings, which add up."""
    mail_only = policy("mail")
    payment, mail = kit.simulated_upstreams.payment, kit.simulated_upstreams.mail
    payment.replies(200)
    mail.replies(202)
    kit.policy(policy(), upstreams={"billing_upstream": payment})
    kit.policy(mail_only, upstreams={"mail": mail})
    with Client(policy()) as one, Client(mail_only) as other:
        assert one.get(CHARGES).status_code == 200
        assert other.get("http://127.0.0.1:15001/mail").status_code == 202


def test_the_whole_story_is_the_same_each_time() -> None:
    """The same seed gives the same trace, another one another."""

    def story(seed: int) -> list[Any]:
        with simulation(seed=seed) as kit:
            payment = kit.simulated_upstreams("payment", endpoints=3)
            payment.replies(200)
            payment.is_slow(uniform(0.1, 0.3))
            kit.policy(policy(lb_policy="RANDOM"), upstreams={"billing_upstream": payment})
            with Client(policy(lb_policy="RANDOM")) as client:
                for _ in range(15):
                    client.get(CHARGES)
            return [(seen.endpoint, seen.arrived, seen.answered) for seen in payment.requests]

    assert story(1) == story(1) != story(2)


def test_a_mapping_ends_with_its_block() -> None:
    """Afterwards clients are what they were."""
    with Kit() as kit:
        payment = kit.upstreams.payment
        payment.replies(200)
        with Client(policy()) as client:
            with pytest.raises(MisuseError, match="one kit at a time"), mapped_twice(kit):
                pass
            assert client.get(CHARGES).status_code == 200


def mapped_twice(kit: Kit) -> Any:
    kit.policy(policy(), upstreams={"billing_upstream": kit.upstreams.payment})
    return mapped_policy(policy(), upstreams={"billing_upstream": kit.upstreams.payment})
