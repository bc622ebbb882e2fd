"""Certificates made on the fly: an authority that writes PEM files for servers and clients into a folder.

Needs the package `cryptography` (extra `testing`), which is why `ambassador_lib.testing` does not import this file.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
except ImportError as error:
    raise ImportError("making certificates needs 'cryptography': pip install 'ambassador_lib[testing]'") from error

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """The PEM files of one certificate."""

    certificate: Path
    key: Path


class CertificateAuthority:
    """Issues certificates that expire soon, all under one root whose certificate is the file `path`."""

    def __init__(self, folder: Path, name: str = "ambassador test authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._key = _new_key()
        self._root = self._sign(name, self._key, authority=True, names=(), expired=False)
        self.path = folder / "ca.crt"
        self.path.write_bytes(_certificate_pem(self._root))

    def issue(self, common_name: str, *names: str, expired: bool = False) -> Issued:
        """Write `<common_name>.crt` and `.key`; `names` are DNS names, IP addresses and URIs it is valid for.

        Good for servers and clients alike.
        """
        key = _new_key()
        certificate = self._sign(common_name, key, authority=False, names=names, expired=expired)
        issued = Issued(self._folder / f"{common_name}.crt", self._folder / f"{common_name}.key")
        issued.certificate.write_bytes(_certificate_pem(certificate))
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(_key_pem(key))
        return issued

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool, names: tuple[str, ...], expired: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(_common_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now - DAY if expired else now + DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            # Both identifiers: OpenSSL's strict mode (Python 3.13's default) refuses a chain without them.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_key_usage(authority=authority), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False
            )
        return builder.sign(self._key, SHA256())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
