"""What else is checked of a server's certificate: pins, revocation, expiry, key usage; and sessions resumed."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ambassador_lib.engine.der import MalformedCertificateError, key_usage, subject_public_key_info
from ambassador_lib.engine.tls import TlsSettings
from ambassador_lib.policy.model.core import DataSource, StringMatcher
from ambassador_lib.policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    TlsParameters,
    UpstreamTlsContext,
)

from .conftest import Mode
from .servers import OK, answering, read_request, serving
from .test_tls import fails, fetch, server_context

NOW = dt.datetime.now(dt.UTC)
OTHER = SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact="other.test"))


def checking(**validation: Any) -> TlsSettings:
    common = CommonTlsContext(validation_context=CertificateValidationContext(**validation))
    return TlsSettings.build(UpstreamTlsContext(common_tls_context=common))


@pytest.fixture
def leaf(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("upstream.test")


@pytest.fixture
def trusted(authority_file: Path) -> DataSource:
    return DataSource(filename=str(authority_file))


def loaded(leaf: trustme.LeafCert) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())


def spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pin(certificate: x509.Certificate) -> str:
    return base64.b64encode(hashlib.sha256(spki(certificate)).digest()).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def revoking(authority: trustme.CA, *revoked: x509.Certificate) -> str:
    """Return a revocation list of the authority's."""
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    builder = x509.CertificateRevocationListBuilder(issuer, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1))
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder(certificate.serial_number, NOW - dt.timedelta(hours=1)).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


@pytest.mark.parametrize("trusts", [True, False])
@pytest.mark.parametrize("kind", ["pin", "sum", "sum with colons", "either"])
def test_the_pinned_certificate_is_taken(
    mode: Mode, leaf: trustme.LeafCert, trusted: DataSource, kind: str, trusts: bool
) -> None:
    """A pin of the key or the sum of the certificate is enough, with a CA and without one."""
    certificate = loaded(leaf)
    text = fingerprint(certificate)
    pins: dict[str, Any] = {
        "pin": {"verify_certificate_spki": (pin(certificate),)},
        "sum": {"verify_certificate_hash": (text,)},
        "sum with colons": {
            "verify_certificate_hash": (":".join(text.upper()[at : at + 2] for at in range(0, 64, 2)),)
        },
        "either": {"verify_certificate_hash": ("00" * 32,), "verify_certificate_spki": (pin(certificate),)},
    }[kind]
    with serving(answering(OK), server_context(leaf)) as server:
        fetch(mode, server, tls=checking(**pins, trusted_ca=trusted if trusts else None))


@pytest.mark.parametrize("trusts", [True, False])
def test_another_certificate_than_the_pinned_one(
    mode: Mode, authority: trustme.CA, leaf: trustme.LeafCert, trusted: DataSource, trusts: bool
) -> None:
    """A certificate of the same CA that is not pinned is a connect failure, before any byte of the request."""
    seen: list[bytes] = []
    other = loaded(authority.issue_cert("upstream.test"))
    with serving(answering(OK, seen=seen), server_context(leaf)) as server:
        ca = trusted if trusts else None
        for pins in ({"verify_certificate_spki": (pin(other),)}, {"verify_certificate_hash": (fingerprint(other),)}):
            details = fails(Mode(mode.name), server, tls=checking(**pins, trusted_ca=ca))
            assert details.endswith("CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_cert_hash_and_spki:TLS_error_end}")
    assert seen == []


def test_a_pin_does_not_make_up_for_a_wrong_ca(mode: Mode, trusted: DataSource) -> None:
    """Where there is a CA, the chain must end there, too."""
    stranger = trustme.CA().issue_cert("upstream.test")
    with serving(answering(OK), server_context(stranger)) as server:
        tls = checking(verify_certificate_hash=(fingerprint(loaded(stranger)),), trusted_ca=trusted)
        assert "unable_to_get_local_issuer_certificate" in fails(mode, server, tls=tls)


def test_accept_untrusted(mode: Mode, trusted: DataSource) -> None:
    """ACCEPT_UNTRUSTED takes any chain, any name and any pin, as Envoy does."""
    with serving(answering(OK), server_context(trustme.CA().issue_cert("x.test"))) as server:
        tls = checking(
            trusted_ca=trusted,
            match_typed_subject_alt_names=(OTHER,),
            verify_certificate_hash=("00" * 32,),
            trust_chain_verification="ACCEPT_UNTRUSTED",
        )
        fetch(mode, server, tls=tls, san="other.test")


@pytest.mark.parametrize("place", ["crl", "trusted_ca"])
def test_a_revoked_certificate(
    mode: Mode, authority: trustme.CA, leaf: trustme.LeafCert, trusted: DataSource, place: str
) -> None:
    """A certificate on the list is a connect failure; the list may stand among the CAs."""
    lists = [revoking(authority), revoking(authority, loaded(leaf))]
    with serving(answering(OK), server_context(leaf)) as server:
        good, bad = (
            checking(trusted_ca=trusted, crl=DataSource(inline_string=text))
            if place == "crl"
            else checking(trusted_ca=DataSource(inline_string=authority.cert_pem.bytes().decode() + text))
            for text in lists
        )
        fetch(mode, server, tls=good)
        assert "certificate_revoked" in fails(Mode(mode.name), server, tls=bad)


def test_every_issuer_needs_a_list_unless_leaves_alone_are_checked(mode: Mode, authority: trustme.CA) -> None:
    """A list of the leaf's issuer is not enough, unless `only_verify_leaf_cert_crl`."""
    child = authority.create_child_ca()
    leaf = child.issue_cert("upstream.test")
    lists = DataSource(inline_string=revoking(child))
    root = DataSource(inline_bytes=authority.cert_pem.bytes())
    with serving(answering(OK), server_context(leaf)) as server:
        details = fails(mode, server, tls=checking(trusted_ca=root, crl=lists))
        assert "unable_to_get_certificate_CRL" in details
        tls = checking(trusted_ca=root, crl=lists, only_verify_leaf_cert_crl=True)
        fetch(Mode(mode.name), server, tls=tls)


def test_a_list_that_is_none_fails_every_handshake(mode: Mode, leaf: trustme.LeafCert, trusted: DataSource) -> None:
    """A `crl` without a list in it is asked for in vain."""
    with serving(answering(OK), server_context(leaf)) as server:
        details = fails(mode, server, tls=checking(trusted_ca=trusted, crl=DataSource(inline_string="nothing")))
    assert "unable_to_get_certificate_CRL" in details


def test_an_expired_certificate_is_taken_where_allowed(mode: Mode, authority: trustme.CA, trusted: DataSource) -> None:
    """`allow_expired_certificate` forgives the date and nothing else."""
    expired = authority.issue_cert("upstream.test", not_after=dt.datetime(2020, 1, 2, tzinfo=dt.UTC))
    with serving(answering(OK), server_context(expired)) as server:
        fetch(mode, server, tls=checking(trusted_ca=trusted, allow_expired_certificate=True))
        tls = checking(trusted_ca=trusted, allow_expired_certificate=True, match_typed_subject_alt_names=(OTHER,))
        assert "SAN_matcher" in fails(Mode(mode.name), server, tls=tls)


def test_an_intermediate_may_be_the_anchor(mode: Mode, authority: trustme.CA) -> None:
    """Partial chains are enough, down to the leaf itself."""
    child = authority.create_child_ca()
    leaf = child.issue_cert("upstream.test")
    with serving(answering(OK), server_context(leaf)) as server:
        for anchor in (child.cert_pem.bytes(), leaf.cert_chain_pems[0].bytes()):
            fetch(Mode(mode.name), server, tls=checking(trusted_ca=DataSource(inline_bytes=anchor)))


def test_the_server_name_takes_the_place_of_matchers(mode: Mode, leaf: trustme.LeafCert, trusted: DataSource) -> None:
    """Under `auto_sni_san_validation` the name sent is the only one that counts; without one the matchers do."""
    validation = CertificateValidationContext(trusted_ca=trusted, match_typed_subject_alt_names=(OTHER,))
    common = CommonTlsContext(validation_context=validation)
    tls = TlsSettings.build(UpstreamTlsContext(common_tls_context=common, auto_sni_san_validation=True))
    with serving(answering(OK), server_context(leaf)) as server:
        fetch(mode, server, tls=tls, sni="upstream.test", san="upstream.test")
        details = fails(Mode(mode.name), server, tls=tls, sni="other.test", san="other.test")
        assert details.endswith("SAN_matcher,_certificate_SANs_are_[upstream.test]:TLS_error_end}")
        assert "SAN_matcher" in fails(Mode(mode.name), server, tls=tls)


@pytest.fixture
def for_encryption_only(tmp_path: Path) -> ssl.SSLContext:
    """A server whose RSA key may encipher keys but not sign."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream.test")])
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
         "encipher_only", "decipher_only"), False)  # fmt: skip
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 5, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1))
        .add_extension(x509.KeyUsage(key_encipherment=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return context


def test_a_key_is_used_as_its_certificate_says(mode: Mode, for_encryption_only: ssl.SSLContext) -> None:
    """A key that may not sign cannot do the handshake of today's ciphers, verified or not."""
    with serving(answering(OK), for_encryption_only) as server:
        assert "KEY_USAGE_BIT_INCORRECT" in fails(mode, server, tls=checking())


def test_parts_of_a_certificate(leaf: trustme.LeafCert) -> None:
    """Key and key usage are found in the bytes; bytes that are no certificate are an error, not a surprise."""
    certificate = loaded(leaf)
    binary = certificate.public_bytes(Encoding.DER)
    assert subject_public_key_info(binary) == spki(certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (key_usage(binary) or 0) & 0x80 == (0x80 if usage.digital_signature else 0)
    for size in range(0, len(binary) - 1, 7):
        with pytest.raises((MalformedCertificateError, StopIteration)):
            subject_public_key_info(binary[:size])


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("most", [None, 0])
def test_sessions_are_resumed(
    mode: Mode, leaf: trustme.LeafCert, trusted: DataSource, version: str, most: int | None
) -> None:
    """The next connection to the same name resumes the last one's session, unless `max_session_keys` is 0."""
    resumed: list[bool] = []

    def handler(sock: Any) -> None:
        resumed.append(sock.session_reused)
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")

    common = CommonTlsContext(
        validation_context=CertificateValidationContext(
            trusted_ca=trusted,
            match_typed_subject_alt_names=(
                SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(suffix="m.test")),
            ),
        ),
        tls_params=TlsParameters(tls_maximum_protocol_version=version),
    )
    tls = TlsSettings.build(UpstreamTlsContext(common_tls_context=common, max_session_keys=most))
    with serving(handler, server_context(leaf)) as server:

        async def main(engine: Any) -> None:
            for name in ("a.test", "a.test", "b.test", "a.test"):
                response = await engine.send(mode.exchange(server, tls=tls, sni=name))
                assert await mode.read(response) == b"ok"

        mode.run(main)
    assert resumed == ([False, True, False, True] if most is None else [False] * 4)
