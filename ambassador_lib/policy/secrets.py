"""Secrets: found by name and kind, and merged into what stands beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .model.tls import CertificateValidationContext, Secret

KINDS = ("tls_certificate", "validation_context", "generic_secret")
"""The fields of `Secret` of which one is set."""


def kind_of(secret: Secret) -> str | None:
    """Return the field that is set, `None` if none is."""
    return next((kind for kind in KINDS if getattr(secret, kind) is not None), None)


def find(secrets: Iterable[Secret], name: str, kind: str) -> Secret | None:
    """Return the secret of that name and kind."""
    return next((one for one in secrets if one.name == name and getattr(one, kind) is not None), None)


def merged(default: CertificateValidationContext, secret: CertificateValidationContext) -> CertificateValidationContext:
    """Merge as protobuf does: what the secret sets wins, and its lists are appended."""
    changes = {}
    for field in dataclasses.fields(secret):
        value = getattr(secret, field.name)
        if isinstance(value, tuple):
            changes[field.name] = getattr(default, field.name) + value
        elif value != field.default:
            changes[field.name] = value
    return dataclasses.replace(default, **changes)
