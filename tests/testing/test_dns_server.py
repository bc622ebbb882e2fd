"""The name server of a real upstream, asked by dnspython over UDP and TCP, and by our own client."""

from __future__ import annotations

import socket
import threading
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from ambassador_lib import Client, NoHealthyUpstreamError
from ambassador_lib.testing import Upstream

CARES = "dns_resolver.cares.v3.CaresDnsResolverConfig"


def ask(upstream: Upstream, name: str = "payment.internal", kind: str = "A", over: Any = dns.query.udp) -> Any:
    """Ask once."""
    host, port = upstream.dns.address
    return over(dns.message.make_query(name, kind), host, port=port, timeout=0.2)


def addresses(response: Any) -> list[str]:
    """Return the addresses that an answer tells."""
    return [record.address for rrset in response.answer for record in rrset]


def query(upstream: Upstream, over: Any) -> Any:
    """Ask, and keep the order of the answer."""
    host, port = upstream.dns.address
    return over(dns.message.make_query("payment.internal", "A"), host, port=port, timeout=0.2, one_rr_per_rrset=True)


@pytest.mark.parametrize("over", [dns.query.udp, dns.query.tcp], ids=["udp", "tcp"])
def test_it_answers_as_scripted(over: Any) -> None:
    """Addresses of endpoints, failures, names that do not exist, silence."""
    with Upstream(endpoints=3) as upstream:
        hosts = [host for host, _ in upstream.addresses]
        assert addresses(query(upstream, over)) == hosts
        said = upstream.dns.answers(2, 0, times=1, ttl=7).then.fails(1)
        said.then.has_no_such_name(1).then.times_out(1).then.answers()
        told = query(upstream, over)
        assert (addresses(told), told.answer[0].ttl) == ([hosts[2], hosts[0]], 7)
        assert ask(upstream, over=over).rcode() == dns.rcode.SERVFAIL
        assert ask(upstream, over=over).rcode() == dns.rcode.NXDOMAIN
        with pytest.raises(dns.exception.Timeout):
            ask(upstream, over=over)
        empty = ask(upstream, over=over)
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
        assert len(upstream.dns.queries) == 6


def test_other_kinds_of_addresses_are_not_counted() -> None:
    """A resolver asks for IPv6 beside IPv4; one of the pair counts."""
    with Upstream() as upstream:
        upstream.dns.answers(0, times=1).then.fails()
        assert ask(upstream, kind="AAAA").answer == []
        assert addresses(ask(upstream)) == [upstream.host]
        assert ask(upstream).rcode() == dns.rcode.SERVFAIL


def test_names_may_be_limited() -> None:
    """Others than those served do not exist."""
    with Upstream() as upstream:
        upstream.dns.serves("payment.internal")
        assert addresses(ask(upstream, "Payment.Internal")) == [upstream.host]
        assert ask(upstream, "other.internal").rcode() == dns.rcode.NXDOMAIN


def test_nonsense_gets_no_answer_and_nothing_is_left_behind() -> None:
    """The server outlives it; with the upstream its port and thread are gone."""
    before = threading.active_count()
    with Upstream() as upstream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        address = upstream.dns.address
        sock.sendto(b"nonsense", address)
        sock.sendto(b"", address)
        with socket.create_connection(address) as stream:
            stream.sendall(b"\0\3abc")
            assert addresses(ask(upstream)) == [upstream.host]
    assert threading.active_count() == before
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(address)


def test_our_client_resolves_by_it() -> None:
    """A STRICT_DNS cluster whose resolver it is goes where it says, and nowhere where it fails."""
    with Upstream(endpoints=2) as upstream:
        host, port = upstream.dns.address
        endpoint = {"socket_address": {"address": "payment.internal", "port_value": upstream.port}}
        cluster = {
            "name": "payment",
            "type": "STRICT_DNS",
            "dns_lookup_family": "V4_ONLY",
            "typed_dns_resolver_config": {
                "name": "envoy.network.dns_resolver.cares",
                "typed_config": {
                    "@type": f"type.googleapis.com/envoy.extensions.network.{CARES}",
                    "resolvers": [{"socket_address": {"address": host, "port_value": port}}],
                },
            },
            "load_assignment": {
                "cluster_name": "payment",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}],
            },
        }
        policy = {"static_resources": {"clusters": [cluster]}}
        with Client(policy) as client:
            assert [client.get("http://payment/").status_code for _ in range(4)] == [200] * 4
        assert sorted(seen.endpoint for seen in upstream.requests) == [0, 0, 1, 1]
        upstream.dns.has_no_such_name()
        with Client(policy) as client, pytest.raises(NoHealthyUpstreamError):
            client.get("http://payment/")
