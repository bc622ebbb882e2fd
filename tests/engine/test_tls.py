"""TLS towards upstreams (semantics 10): what is checked, what is sent, and what a failure is."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from ambassador_lib.engine.tls import TlsSettings
from ambassador_lib.errors import UpstreamConnectError, UpstreamResetError
from ambassador_lib.policy.model.core import DataSource, RegexMatcher, StringMatcher
from ambassador_lib.policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
    UpstreamTlsContext,
)

from .conftest import Mode
from .servers import OK, H2Peer, Server, answering, serving, until_closed
from .test_http1 import BUSY, echo, upload, uploads
from .test_http2 import respond_when_complete


def settings(
    ca: Path | None = None,
    *sans: SubjectAltNameMatcher,
    certificates: tuple[TlsCertificate, ...] = (),
    parameters: TlsParameters | None = None,
    alpn: tuple[str, ...] = (),
    protocol: str = "http1",
    **context: Any,
) -> TlsSettings:
    validation = None
    if ca is not None or sans:
        validation = CertificateValidationContext(
            trusted_ca=DataSource(filename=str(ca)) if ca is not None else None, match_typed_subject_alt_names=sans
        )
    common = CommonTlsContext(
        validation_context=validation, tls_certificates=certificates, tls_params=parameters, alpn_protocols=alpn
    )
    return TlsSettings.build(UpstreamTlsContext(common_tls_context=common, **context), protocol=protocol)


def dns(exact: str) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact=exact))


def server_context(certificate: trustme.LeafCert, *alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[Server, list[Any]]]:
    """Serve 200s over TLS; the list fills with what each connection's handshake brought."""
    seen: list[Any] = []

    def sni(sock: Any, name: str | None, _: Any) -> None:
        seen.append(name)

    context.sni_callback = sni
    with serving(answering(OK), context) as server:
        yield server, seen


def fetch(mode: Mode, server: Server, **destination: Any) -> None:
    async def main(engine: Any) -> None:
        response = await engine.send(mode.exchange(server, **destination))
        assert await mode.read(response) == b"ok"

    mode.run(main)


def fails(mode: Mode, server: Server, **destination: Any) -> str:
    """Fail to connect and return the details."""
    details: list[str] = []

    async def main(engine: Any) -> None:
        with pytest.raises(UpstreamConnectError) as failure:
            await engine.send(mode.exchange(server, **destination))
        details.append(failure.value.reply.details)

    mode.run(main)
    assert mode.gauge.opens == 0
    return details[0]


def test_verified_chain_with_sni(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """A trusted chain passes; the server name is the one of the destination."""
    with tls_server(server_context(authority.issue_cert("upstream.test"))) as (server, seen):
        fetch(mode, server, tls=settings(authority_file, dns("upstream.test")), sni="upstream.test")
    assert seen == ["upstream.test"]


def test_no_sni_unless_set(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """Envoy sends no server name of its own accord, and checks no host name."""
    with tls_server(server_context(authority.issue_cert("other.test"))) as (server, seen):
        fetch(mode, server, tls=settings(authority_file))
    assert seen == [None]


def test_nothing_is_verified_without_a_ca(mode: Mode) -> None:
    """No validation context: any certificate is taken."""
    with tls_server(server_context(trustme.CA().issue_cert("upstream.test"))) as (server, _):
        fetch(mode, server, tls=settings())


def test_wrong_ca(mode: Mode, authority_file: Path) -> None:
    """A chain that ends elsewhere is a connect failure."""
    with tls_server(server_context(trustme.CA().issue_cert("upstream.test"))) as (server, _):
        assert "CERTIFICATE_VERIFY_FAILED" in fails(mode, server, tls=settings(authority_file))


def test_expired(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """An expired certificate is a connect failure."""
    expired = authority.issue_cert("upstream.test", not_after=dt.datetime(2020, 1, 2, tzinfo=dt.UTC))
    with tls_server(server_context(expired)) as (server, _):
        assert "certificate_has_expired" in fails(mode, server, tls=settings(authority_file))


def test_san_mismatch(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """None of the names asked for: a connect failure, before any byte of the request."""
    requests: list[bytes] = []
    context = server_context(authority.issue_cert("wrong.test"))
    with serving(answering(OK, seen=requests), context) as server:
        tls = settings(authority_file, dns("upstream.test"), dns("upstream2.test"))
        assert "SAN_matcher" in fails(mode, server, tls=tls)
    assert requests == []


def test_auto_san_validation(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """The destination's own name must be in the certificate; an address must be an IP SAN."""
    with tls_server(server_context(authority.issue_cert("*.wild.test", "127.0.0.1"))) as (server, _):
        tls = settings(authority_file)
        fetch(mode, server, tls=tls, san="a.wild.test")
        fetch(Mode(mode.name), server, tls=tls, san="127.0.0.1")
        fails(Mode(mode.name), server, tls=tls, san="other.test")
        fails(Mode(mode.name), server, tls=settings(), san="a.wild.test")


def test_mutual_tls(mode: Mode, authority: trustme.CA, authority_file: Path, tmp_path: Path) -> None:
    """The client's certificate is presented, from files or inline; without one the exchange fails."""
    client = authority.issue_cert("client.test")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    client.cert_chain_pems[0].write_to_path(chain)
    client.private_key_pem.write_to_path(key)
    from_files = TlsCertificate(
        certificate_chain=DataSource(filename=str(chain)), private_key=DataSource(filename=str(key))
    )
    inline = TlsCertificate(
        certificate_chain=DataSource(inline_string=chain.read_text()),
        private_key=DataSource(inline_bytes=key.read_bytes()),
    )
    context = server_context(authority.issue_cert("upstream.test"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with tls_server(context) as (server, _):
        for certificate in (from_files, inline):
            fetch(Mode(mode.name), server, tls=settings(authority_file, certificates=(certificate,)))

        async def main(engine: Any) -> None:
            with pytest.raises((UpstreamConnectError, UpstreamResetError)):
                await engine.send(mode.exchange(server, tls=settings(authority_file)))
            assert mode.gauge.now == 0

        mode.run(main)


def test_handshake_counts_towards_connect_timeout(mode: Mode, authority_file: Path) -> None:
    """A server silent to the ClientHello costs connect_timeout, not more."""
    with serving(until_closed) as server:
        details = fails(mode, server, tls=settings(authority_file), connect_timeout=0.1)
    assert details == "upstream_reset_before_response_started{connection_timeout}"


def test_plain_server(mode: Mode, authority_file: Path) -> None:
    """TLS to a server that answers in plain HTTP is a connect failure."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        until_closed(sock)

    with serving(handler) as server:
        assert "TLS_error" in fails(mode, server, tls=settings(authority_file))


def test_handshake_cut_off(mode: Mode, authority_file: Path) -> None:
    """A server that closes within the handshake is a connect failure."""
    with serving(lambda sock: None) as server:
        assert "{remote_connection_failure" in fails(mode, server, tls=settings(authority_file))


def test_plain_client_to_tls_server(mode: Mode, authority: trustme.CA) -> None:
    """Plain HTTP to a TLS server is an error, not a hang."""
    with serving(answering(OK), server_context(authority.issue_cert("upstream.test"))) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError):
                await mode.send(engine, mode.exchange(server, deadline=mode.after(5)))

        mode.run(main)


def test_versions(mode: Mode, authority: trustme.CA, authority_file: Path) -> None:
    """TLS 1.3 is spoken unless the policy's maximum forbids it."""
    context = server_context(authority.issue_cert("upstream.test"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tls_server(context) as (server, _):
        fetch(mode, server, tls=settings(authority_file))
        old = settings(authority_file, parameters=TlsParameters(tls_maximum_protocol_version="TLSv1_2"))
        fails(Mode(mode.name), server, tls=old)


@pytest.mark.parametrize(("offered", "version"), [(("h2", "http/1.1"), b"HTTP/2"), (("http/1.1",), b"HTTP/1.1")])
def test_auto_follows_alpn(mode: Mode, authority: trustme.CA, offered: tuple[str, ...], version: bytes) -> None:
    """`auto` speaks what the server chose."""
    context = server_context(authority.issue_cert("upstream.test"), *offered)
    handler = H2Peer(respond_when_complete) if "h2" in offered else answering(OK)
    with serving(handler, context) as server:

        async def main(engine: Any) -> None:
            for _ in range(2):
                response = await engine.send(mode.exchange(server, tls=tls, protocol="auto"))
                assert (response.extensions["http_version"], await mode.read(response)) == (version, b"ok")

        tls = settings(protocol="auto")
        mode.run(main)
    assert server.connections == 1


def test_connections_are_not_shared_between_names(mode: Mode, authority: trustme.CA) -> None:
    """Two server names on one address are two destinations."""
    tls = settings()
    with tls_server(server_context(authority.issue_cert("upstream.test"))) as (server, seen):

        async def main(engine: Any) -> None:
            for name in ("a.test", "b.test", "a.test"):
                await mode.read(await engine.send(mode.exchange(server, tls=tls, sni=name)))

        mode.run(main)
    assert seen == ["a.test", "b.test"]


# --- building --------------------------------------------------------------------------------------------------------


def test_build_tells_what_is_wrong(tmp_path: Path, authority: trustme.CA, authority_file: Path) -> None:
    """Material that cannot be used is a ValueError with its reason when the settings are built."""
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    one, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    mismatched = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=one.cert_chain_pems[0].bytes()),
        private_key=DataSource(inline_bytes=other.private_key_pem.bytes()),
    )
    cases: list[tuple[str, dict[str, Any]]] = [
        ("No such file", {"ca": tmp_path / "missing.pem"}),
        ("trusted_ca", {"ca": garbage}),
        ("KEY_VALUES_MISMATCH", {"certificates": (mismatched,)}),
        ("both needed", {"certificates": (TlsCertificate(certificate_chain=DataSource(inline_bytes=b"x")),)}),
        ("cipher_suites", {"parameters": TlsParameters(cipher_suites=("NO-SUCH-CIPHER",))}),
        (
            "above",
            {
                "parameters": TlsParameters(
                    tls_minimum_protocol_version="TLSv1_3", tls_maximum_protocol_version="TLSv1_2"
                )
            },
        ),
    ]
    for reason, arguments in cases:
        with pytest.raises(ValueError, match=reason):
            settings(**arguments)
    with pytest.raises(ValueError, match="trusted_ca"):
        settings(None, dns("a.test"))
    pattern = StringMatcher(safe_regex=RegexMatcher(regex="("))
    with pytest.raises(ValueError, match="safe_regex"):
        settings(authority_file, SubjectAltNameMatcher(san_type="DNS", matcher=pattern))


CERTIFICATE = {
    "subjectAltName": (
        ("DNS", "*.wild.test"),
        ("DNS", "Plain.test"),
        ("URI", "spiffe://cluster/ns/default"),
        ("email", "ops@app.test"),
        ("IP Address", "0:0:0:0:0:0:0:1"),
    )
}


@pytest.mark.parametrize(
    ("san_type", "matcher", "expected"),
    [
        ("DNS", StringMatcher(exact="a.wild.test"), True),
        ("DNS", StringMatcher(exact="a.b.wild.test"), False),
        ("DNS", StringMatcher(exact="wild.test"), False),
        ("DNS", StringMatcher(exact="plain.test"), True),
        ("DNS", StringMatcher(suffix=".wild.test"), True),
        ("DNS", StringMatcher(prefix="plain"), False),
        ("DNS", StringMatcher(prefix="plain", ignore_case=True), True),
        ("DNS", StringMatcher(contains="lain.t"), True),
        ("DNS", StringMatcher(safe_regex=RegexMatcher(regex=r"Plain\.[a-z]+")), True),
        ("DNS", StringMatcher(safe_regex=RegexMatcher(regex="Plain")), False),
        ("URI", StringMatcher(prefix="spiffe://cluster/"), True),
        ("URI", StringMatcher(exact="Plain.test"), False),
        ("EMAIL", StringMatcher(exact="ops@app.test"), True),
        ("IP_ADDRESS", StringMatcher(exact="::1"), True),
        ("IP_ADDRESS", StringMatcher(exact="::2"), False),
    ],
)
def test_name_matchers(authority_file: Path, san_type: str, matcher: StringMatcher, expected: bool) -> None:
    """SANs are matched by type; DNS and `exact` understand wildcard certificates."""
    tls = settings(authority_file, SubjectAltNameMatcher(san_type=san_type, matcher=matcher))
    try:
        tls.material().check_names(CERTIFICATE["subjectAltName"], None)
    except ValueError:
        assert not expected
    else:
        assert expected


# --- HTTP/1.1 that listens while it sends ----------------------------------------------------------------------------


@uploads
def test_an_answer_ends_an_upload(mode: Mode, authority: trustme.CA, authority_file: Path, kind: str) -> None:
    """A refusal is heard although the peer does not read on."""

    def handler(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(BUSY)
        gone.wait(5)

    gone = threading.Event()
    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main(engine: Any) -> None:
            body = upload(mode, kind)
            exchange = mode.exchange(server, stream=body, tls=settings(authority_file), deadline=mode.after(4))
            response = await mode.send(engine, exchange)
            assert (response.status_code, await mode.read(response)) == (503, b"busy")
            assert mode.gauge.now == 0

        try:
            mode.run(main)
        finally:
            gone.set()


@uploads
def test_an_echo_does_not_stall(mode: Mode, authority: trustme.CA, authority_file: Path, kind: str) -> None:
    """Records go both ways at once."""
    with serving(echo(12 * 2**20), server_context(authority.issue_cert("upstream.test"))) as server:

        async def main(engine: Any) -> None:
            body = upload(mode, kind)
            exchange = mode.exchange(server, stream=body, tls=settings(authority_file), deadline=mode.after(8))
            response = await mode.send(engine, exchange)
            assert len(await mode.read(response)) == 12 * 2**20

        mode.run(main)
