"""Configured DNS servers: a toy server on UDP and TCP answers from a table."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from ambassador_lib.discovery import Answer, NoSuchName, ResolveFailed
from ambassador_lib.discovery.nameservers import NameserverResolver, in_hosts_file, routable_first
from ambassador_lib.discovery.start import resolver_for
from ambassador_lib.policy.model.cluster import Cluster, DnsResolutionConfig
from ambassador_lib.policy.model.core import Address, SocketAddress
from ambassador_lib.runtime.clock import SystemClock

T = TypeVar("T")
SILENCE = object()


class ToyDns(asyncio.DatagramProtocol):
    """Answers with records, a response code, or not at all."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], Any] = {}
        self.questions: list[tuple[str, str, str]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        answer = self.answer(data, "udp")
        if answer is not None:
            self.transport.sendto(answer, address)

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(size), "tcp") or b""
        writer.write(struct.pack("!H", len(answer)) + answer)
        writer.close()

    def answer(self, data: bytes, over: str) -> bytes | None:
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name.to_text(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append((name, kind, over))
        found = self.table.get((name, kind), dns.rcode.NXDOMAIN)
        if found is SILENCE:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if isinstance(found, list):
            response.answer = [dns.rrset.from_text(*record) for record in found]
        else:
            response.set_rcode(found)
        return response.to_wire(want_shuffle=False)


def resolving(toy: ToyDns, story: Callable[[NameserverResolver], Awaitable[T]], tmp_path: Path, **config: Any) -> T:
    """Run the toy server and a resolver that is pointed at it."""

    async def main() -> T:
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(lambda: toy, local_addr=("127.0.0.1", 0))
        tcp = await asyncio.start_server(toy.over_tcp, "127.0.0.1", 0)
        socket = tcp.sockets[0] if config.get("use_tcp_for_dns_lookups") else udp.get_extra_info("socket")
        port = socket.getsockname()[1]
        server = Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port))
        resolver = NameserverResolver(
            DnsResolutionConfig(resolvers=(server,), no_default_search_domain=True, **config),
            hosts_file=tmp_path / "hosts",
            try_timeout=0.05,
            lookup_timeout=0.1,
        )
        try:
            return await story(resolver)
        finally:
            udp.close()
            tcp.close()
            await asyncio.sleep(0)

    return asyncio.run(main())


@pytest.fixture
def toy() -> ToyDns:
    return ToyDns()


def test_records_and_ttl(toy: ToyDns, tmp_path: Path) -> None:
    """All addresses of the record set come back, with its TTL."""
    toy.table["a.test.", "A"] = [("a.test.", 30, "IN", "A", "10.0.0.1", "10.0.0.2")]
    answer = resolving(toy, lambda resolver: resolver.resolve("a.test", "V4"), tmp_path)
    assert answer == Answer(("10.0.0.1", "10.0.0.2"), 30.0)


def test_the_shortest_ttl_of_a_chain_counts(toy: ToyDns, tmp_path: Path) -> None:
    """A CNAME that expires sooner than the address decides."""
    toy.table["a.test.", "AAAA"] = [
        ("a.test.", 7, "IN", "CNAME", "b.test."),
        ("b.test.", 300, "IN", "AAAA", "2001:db8::1"),
    ]
    answer = resolving(toy, lambda resolver: resolver.resolve("a.test", "V6"), tmp_path)
    assert answer == Answer(("2001:db8::1",), 7.0)


def test_both_families_at_once(toy: ToyDns, tmp_path: Path) -> None:
    """Where both are wanted, both are asked and the smaller TTL holds; one alone is enough."""
    toy.table["a.test.", "A"] = [("a.test.", 30, "IN", "A", "127.0.0.1")]
    toy.table["a.test.", "AAAA"] = [("a.test.", 20, "IN", "AAAA", "::1")]
    toy.table["b.test.", "A"] = [("b.test.", 30, "IN", "A", "127.0.0.1")]
    toy.table["b.test.", "AAAA"] = dns.rcode.SERVFAIL
    both = resolving(toy, lambda resolver: resolver.resolve("a.test", "BOTH"), tmp_path)
    assert (set(both.addresses), both.ttl) == ({"127.0.0.1", "::1"}, 20.0)
    one = resolving(toy, lambda resolver: resolver.resolve("b.test", "BOTH"), tmp_path)
    assert one == Answer(("127.0.0.1",), 30.0)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (dns.rcode.NXDOMAIN, NoSuchName),
        ([], NoSuchName),
        (dns.rcode.SERVFAIL, ResolveFailed),
        (dns.rcode.REFUSED, ResolveFailed),
        (SILENCE, ResolveFailed),
    ],
)
def test_no_address(toy: ToyDns, tmp_path: Path, found: Any, error: type[Exception]) -> None:
    """NXDOMAIN and NODATA say that there is none; SERVFAIL, REFUSED and silence say nothing."""
    toy.table["a.test.", "A"] = found
    with pytest.raises(error, match=r"a\.test"):
        resolving(toy, lambda resolver: resolver.resolve("a.test", "V4"), tmp_path)


def test_a_failure_of_one_family_outweighs_no_data_of_the_other(toy: ToyDns, tmp_path: Path) -> None:
    """Hosts are kept where one of two questions had no answer."""
    toy.table["a.test.", "A"] = dns.rcode.SERVFAIL
    with pytest.raises(ResolveFailed):
        resolving(toy, lambda resolver: resolver.resolve("a.test", "BOTH"), tmp_path)


def test_tcp_where_the_policy_says_so(toy: ToyDns, tmp_path: Path) -> None:
    """`use_tcp_for_dns_lookups`: no datagram is sent."""
    toy.table["a.test.", "A"] = [("a.test.", 30, "IN", "A", "10.0.0.1")]
    resolving(toy, lambda resolver: resolver.resolve("a.test", "V4"), tmp_path, use_tcp_for_dns_lookups=True)
    assert [over for *_, over in toy.questions] == ["tcp"]


def test_the_hosts_file_comes_first(toy: ToyDns, tmp_path: Path) -> None:
    """What `/etc/hosts` knows is not asked for."""
    hosts = tmp_path / "hosts"
    hosts.write_text("# local\n127.0.0.1 localhost\n10.9.9.9\tother A.Test # here\n::1 a.test\nnonsense a.test\n\n")
    assert in_hosts_file(hosts, "a.test.", "V4") == ("10.9.9.9",)
    assert in_hosts_file(hosts, "a.test", "BOTH") == ("10.9.9.9", "::1")
    assert in_hosts_file(hosts, "here", "BOTH") == ()
    assert in_hosts_file(tmp_path / "missing", "a.test", "V4") == ()
    answer = resolving(toy, lambda resolver: resolver.resolve("a.test", "V6"), tmp_path)
    assert answer == Answer(("::1",), None)
    assert toy.questions == []


def test_which_resolver_a_cluster_gets() -> None:
    """Configured servers are asked directly, otherwise it is the system's resolver."""
    server = Address(socket_address=SocketAddress(address="10.0.0.53"))
    configured = Cluster(name="c", dns_resolution_config=DnsResolutionConfig(resolvers=(server,)))
    assert repr(resolver_for(configured, SystemClock())) == "NameserverResolver(10.0.0.53:53)"
    assert type(resolver_for(Cluster(name="c"), SystemClock())).__name__ == "SystemResolver"


def test_addresses_without_a_route_come_last() -> None:
    """Of two families the one that this machine can reach goes first; one family keeps its order."""
    unroutable = "255.255.255.255"  # connecting needs a permission that nobody asks for
    assert routable_first((unroutable, "10.0.0.1")) == (unroutable, "10.0.0.1")
    assert routable_first(("127.0.0.1", "ff02::1%nowhere"))[0] == "127.0.0.1"
