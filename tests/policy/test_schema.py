"""Envoy's schema travels with the package and stays out of everybody else's way."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from ambassador_lib.policy.schema import DESCRIPTOR_SET, envoy


def test_the_descriptor_set_is_in_the_package() -> None:
    """The set is a file of the package, and small."""
    packed = resources.files("ambassador_lib.policy").joinpath(DESCRIPTOR_SET)
    assert 10_000 < len(packed.read_bytes()) < 200_000


@pytest.mark.parametrize(
    "name",
    [
        "envoy.config.bootstrap.v3.Bootstrap",
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "envoy.config.trace.v3.ZipkinConfig",
    ],
)
def test_the_schema_knows_what_an_any_may_hold(name: str) -> None:
    """Extensions that are not supported are in the set as well, to be told apart from what does not exist."""
    found = envoy().find(name)
    assert found is not None
    assert found.full_name == name


def test_the_rules_in_the_options_are_read() -> None:
    """The validation rules are visible through the pool's own option classes."""
    schema = envoy()
    cluster = schema.find("envoy.config.cluster.v3.Cluster")
    assert cluster is not None
    rules = {field.name: rule for field, rule in schema.rules(cluster)}
    assert rules["connect_timeout"].duration.HasField("gt")
    assert rules["name"].string.min_len == 1


def test_nothing_is_registered_in_the_process() -> None:
    """Loading a policy adds nothing to protobuf's default pool, so no other copy of Envoy's protos can clash."""
    code = (
        "from ambassador_lib.policy import Policy; from google.protobuf import descriptor_pool;"
        "Policy.parse('{}');"
        "descriptor_pool.Default().FindFileByName('envoy/config/bootstrap/v3/bootstrap.proto')"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)
    assert "KeyError" in ran.stderr
