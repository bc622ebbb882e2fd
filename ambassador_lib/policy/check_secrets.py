"""Envoy's checks of the policy's own secrets, and of where those come from that TLS settings name.

What a secret holds is checked where it is used: nobody minds a bad one that nobody uses.
"""

from __future__ import annotations

from . import sources
from .check_sources import check_source
from .findings import Findings
from .model.tls import CertificateValidationContext, CommonTlsContext, SdsSecretConfig, Secret, TlsCertificate
from .secrets import find, kind_of, merged


def check_secrets(findings: Findings) -> None:
    """Check names and kinds."""
    seen: set[tuple[str, str]] = set()
    for secret in findings.secrets:
        kind = kind_of(secret)
        if kind is None and findings.is_set(secret, "session_ticket_keys"):
            continue
        if kind is None:
            findings.fault(secret, "name", "a secret holds a certificate, a validation context or a generic secret")
        elif (kind, secret.name) in seen:
            findings.fault(secret, "name", f"a {kind} named {secret.name!r} exists already")
        else:
            seen.add((kind, secret.name))


def check_secret(findings: Findings, config: SdsSecretConfig, kind: str) -> Secret | None:
    """Return the policy's own secret that is named, `None` for one of a file; a fault where there is neither."""
    if config.sds_config is not None:
        check_source(findings, config.sds_config, may_be_missing=sources.is_lenient and kind != "generic_secret")
        return None
    found = find(findings.secrets, config.name, kind)
    if found is None:
        findings.fault(config, "name", f"no {kind} named {config.name!r} among static_resources.secrets")
    return found


def certificates(findings: Findings, common: CommonTlsContext) -> tuple[list[TlsCertificate], int]:
    """Return the certificates that are known by now, and how many there are in all."""
    known = list(common.tls_certificates)
    for config in common.tls_certificate_sds_secret_configs:
        secret = check_secret(findings, config, "tls_certificate")
        if secret is not None and secret.tls_certificate is not None:
            known.append(secret.tls_certificate)
    return known, len(common.tls_certificates) + len(common.tls_certificate_sds_secret_configs)


def validation(findings: Findings, common: CommonTlsContext) -> tuple[CertificateValidationContext | None, bool]:
    """Return how certificates will be checked, and whether that is known by now."""
    config, default = common.validation_context_sds_secret_config, CertificateValidationContext()
    combined = common.combined_validation_context
    if combined is not None:
        config, default = combined.validation_context_sds_secret_config, combined.default_validation_context
    if config is None:
        return common.validation_context, True
    secret = check_secret(findings, config, "validation_context")
    if secret is None or secret.validation_context is None:
        return None, False
    return (secret.validation_context if combined is None else merged(default, secret.validation_context)), True
