"""As much of DER as pins and key usage need: where the parts of a certificate lie (RFC 5280 4.1)."""

from __future__ import annotations

from collections.abc import Iterator

EXTENSIONS = 0xA3
VERSION = 0xA0
BOOLEAN = 0x01
KEY_USAGE = bytes.fromhex("551d0f")
"""The object identifier 2.5.29.15, without its header."""


class MalformedCertificateError(ValueError):
    """The bytes are no certificate."""


def subject_public_key_info(certificate: bytes) -> bytes:
    """Return the key with its algorithm, header included: what a pin is the SHA-256 sum of."""
    fields = list(_fields(certificate))
    at = 6 if fields and fields[0][0] == VERSION else 5  # serial, signature, issuer, validity, subject come before it
    if len(fields) <= at:
        raise MalformedCertificateError("a certificate has a key")
    return fields[at][2]


def key_usage(certificate: bytes) -> int | None:
    """Return the first octet of `keyUsage`, `None` where there is none; 0x80 is digitalSignature."""
    for tag, content, _ in _fields(certificate):
        if tag == EXTENSIONS:
            ((_, extensions, _),) = _parts(content)
            for _, extension, _ in _parts(extensions):
                parts = [part for part in _parts(extension) if part[0] != BOOLEAN]
                if len(parts) == 2 and parts[0][1] == KEY_USAGE:
                    ((_, bits, _),) = _parts(parts[1][1])
                    return bits[1] if len(bits) > 1 else 0  # the first octet counts unused bits
    return None


def _fields(certificate: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    (_, content, _) = next(_parts(certificate))
    (_, signed, _) = next(_parts(content))
    return _parts(signed)


def _parts(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield tag, content, and both with their header, of each element in a row."""
    at = 0
    while at < len(data):
        start = at
        tag = data[at]
        length = data[at + 1] if at + 1 < len(data) else 0
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise MalformedCertificateError("an element is longer than what contains it")
        yield tag, data[at : at + length], data[start : at + length]
        at += length
