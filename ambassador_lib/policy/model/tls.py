"""TLS towards upstreams (`envoy.extensions.transport_sockets.tls.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .message import message

if TYPE_CHECKING:
    from .core import ConfigSource, DataSource, StringMatcher, WatchedDirectory


@message
class TlsParameters:
    """`TLS_AUTO` keeps the default. Source: `envoy.extensions.transport_sockets.tls.v3.TlsParameters`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.TlsParameters"
    tls_minimum_protocol_version: str = "TLS_AUTO"
    tls_maximum_protocol_version: str = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()


@message
class TlsCertificate:
    """A certificate and its key. Source: `envoy.extensions.transport_sockets.tls.v3.TlsCertificate`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.TlsCertificate"
    certificate_chain: DataSource | None = None
    private_key: DataSource | None = None
    password: DataSource | None = None
    watched_directory: WatchedDirectory | None = None


@message
class SubjectAltNameMatcher:
    """`san_type`: EMAIL, DNS, URI, IP_ADDRESS. Source: `…tls.v3.SubjectAltNameMatcher`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher"
    san_type: str
    matcher: StringMatcher


@message
class CertificateValidationContext:
    """How the server's certificate is checked. `verify_certificate_spki` are SHA-256 sums in base64,
    `verify_certificate_hash` in hexadecimal digits; one of all must fit.
    Source: `…tls.v3.CertificateValidationContext`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext"
    trusted_ca: DataSource | None = None
    crl: DataSource | None = None
    only_verify_leaf_cert_crl: bool = False
    allow_expired_certificate: bool = False
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    match_typed_subject_alt_names: tuple[SubjectAltNameMatcher, ...] = ()
    match_subject_alt_names: tuple[StringMatcher, ...] = ()
    trust_chain_verification: str = "VERIFY_TRUST_CHAIN"
    watched_directory: WatchedDirectory | None = None


@message
class GenericSecret:
    """Bytes that somebody knows what to do with. Source: `…tls.v3.GenericSecret`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.GenericSecret"
    secret: DataSource | None = None


@message
class Secret:
    """One of the three, by name; there is one namespace for each kind. Source: `…tls.v3.Secret`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.Secret"
    name: str = ""
    tls_certificate: TlsCertificate | None = None
    validation_context: CertificateValidationContext | None = None
    generic_secret: GenericSecret | None = None


@message
class SdsSecretConfig:
    """A secret by its name: in the file that `sds_config` names, else among the policy's own `secrets`.
    Source: `…tls.v3.SdsSecretConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig"
    name: str
    sds_config: ConfigSource | None = None


@message
class CommonTlsContext:
    """Source: `envoy.extensions.transport_sockets.tls.v3.CommonTlsContext`."""

    @message
    class CombinedCertificateValidationContext:
        """What the secret says is merged into the default: single fields win, lists are appended.
        Source: `…tls.v3.CommonTlsContext.CombinedCertificateValidationContext`."""

        PROTO: ClassVar[str] = (
            "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext"
        )
        default_validation_context: CertificateValidationContext
        validation_context_sds_secret_config: SdsSecretConfig

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext"
    tls_params: TlsParameters | None = None
    tls_certificates: tuple[TlsCertificate, ...] = ()
    tls_certificate_sds_secret_configs: tuple[SdsSecretConfig, ...] = ()
    validation_context: CertificateValidationContext | None = None
    validation_context_sds_secret_config: SdsSecretConfig | None = None
    combined_validation_context: CombinedCertificateValidationContext | None = None
    alpn_protocols: tuple[str, ...] = ()


@message
class UpstreamTlsContext:
    """TLS as a client. `max_session_keys` unset is 1, 0 resumes no session.
    Source: `envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    common_tls_context: CommonTlsContext | None = None
    sni: str = ""
    auto_host_sni: bool = False
    auto_sni_san_validation: bool = False
    allow_renegotiation: bool = False
    max_session_keys: int | None = None


@message
class RawBuffer:
    """Plain TCP. Source: `envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer`."""

    PROTO: ClassVar[str] = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
