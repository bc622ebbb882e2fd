"""The certificates of a session, made once, by name: `<name>.crt` and `<name>.key` in one folder."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ambassador_lib.testing.certificates import CertificateAuthority

SERVERS = {
    "server": ("upstream.test", "127.0.0.1"),
    "other": ("other.test",),
    "wild": ("*.wild.test",),
    "bare": ("localhost",),
    "expired": ("upstream.test",),
    "client": ("client.test", "spiffe://parity/client"),
}
PASSWORD = b"sesame"
_DAY = dt.timedelta(days=1)
_AGREEMENT_ALONE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=True,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


EXAMPLES = {"spki": "A" * 43 + "=", "sum": "0" * 64}
"""What pins look like."""


def pin(path: Path, kind: str) -> str:
    """Return what a policy may ask of a certificate: `spki`, a sum of its key in base64, or `sum`, one of all of it."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if kind == "sum":
        return certificate.fingerprint(SHA256()).hex()
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def make(folder: Path) -> None:
    """Write all: certificates of `ca`, of somebody else, and of a tree.

    - `ca` with its certificates (`SERVERS`); `client_locked.key` is the client's key under `PASSWORD`.
    - `stranger_ca` with `stranger` (a server's and a client's in one).
    - `root`, which signed an authority that signed `chained`, `revoked` and `agreeing`, whose key may not sign;
      `middle.crl` is that authority's list.
    """
    authority = CertificateAuthority(folder)
    for name, names in SERVERS.items():
        authority.issue(name, *names, expired=name == "expired")
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD))
    (folder / "client_locked.key").write_bytes(locked)
    strangers = CertificateAuthority(folder / "strangers", "somebody else's authority")
    issued = strangers.issue("stranger", "upstream.test")
    issued.certificate.rename(folder / "stranger.crt")
    issued.key.rename(folder / "stranger.key")
    strangers.path.rename(folder / "stranger_ca.crt")
    _make_tree(folder)


def _make_tree(folder: Path) -> None:
    root = _signed("root")
    middle = _signed("middle", root)
    revoked, now = _signed("revoked", middle, authority=False), dt.datetime.now(dt.UTC)
    for name, (certificate, key) in {
        "root": root,
        "chained": _signed("chained", middle, authority=False),
        "agreeing": _signed("agreeing", middle, authority=False, usage=_AGREEMENT_ALONE),
        "revoked": revoked,
    }.items():
        chain = [certificate] if name == "root" else [certificate, middle[0]]
        (folder / f"{name}.crt").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    entry = x509.RevokedCertificateBuilder().serial_number(revoked[0].serial_number).revocation_date(now - _DAY)
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(middle[0].subject)
        .last_update(now - _DAY)
        .next_update(now + _DAY)
        .add_revoked_certificate(entry.build())
        .sign(middle[1], SHA256())
    )
    (folder / "middle.crl").write_bytes(listed.public_bytes(Encoding.PEM))


def _signed(
    name: str, by: _Signer | None = None, *, authority: bool = True, usage: x509.KeyUsage | None = None
) -> _Signer:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = by[1] if by is not None else key
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if usage is not None:
        made = made.add_extension(usage, critical=True)
    return made.sign(signer, SHA256()), key
