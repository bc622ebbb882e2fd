"""What TLS needs where an upstream of the kit stands in for a cluster: an authority, names and certificates of the kit.

The policy's own settings stay as far as somebody else than the real upstream can fulfil them: whether names are sent
and checked and which, protocols, versions. Certificates and CAs become the kit's; pins, sums, revocation lists, cipher
suites and curves, which belong to the real upstream's certificate, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy.model.core import DataSource, StringMatcher
from ..policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    UpstreamTlsContext,
)
from .kit_tls import KIT_NAME, KitTls, as_file, issue, kit_authority
from .misuse import MisuseError

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster, TransportSocket
    from .certificates import CertificateAuthority


def tls_contexts(cluster: Cluster) -> list[UpstreamTlsContext]:
    """Return every TLS setting of the cluster."""
    return [socket.typed_config for socket in _sockets(cluster) if isinstance(socket.typed_config, UpstreamTlsContext)]


def simulated_tls(cluster: Cluster) -> Cluster:
    """Return the cluster for a simulation, where no handshake is made: names and protocols are all that is left."""

    def bare(tls: UpstreamTlsContext) -> UpstreamTlsContext:
        common = tls.common_tls_context
        kept = CommonTlsContext(alpn_protocols=common.alpn_protocols) if common is not None else None
        return replace(tls, common_tls_context=kept, auto_sni_san_validation=False)

    options = cluster.http_protocol_options
    if options is not None and options.auto_san_validation:
        cluster = replace(cluster, http_protocol_options=replace(options, auto_san_validation=False))
    return _with_tls(cluster, bare)


class Peers:
    """The TLS side of one real upstream: what all clusters that it stands in for ask of it together."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._plain: list[str] = []
        self._secured: list[str] = []
        self._names: dict[str, None] = {}
        self._demands = False

    def plain(self, cluster: str) -> None:
        """A cluster speaks to it without TLS."""
        self._plain.append(cluster)
        self._check()

    def secured(self, cluster: Cluster) -> Cluster:
        """Return the cluster so that it trusts the kit, and have the upstream present what it asks for."""
        contexts = tls_contexts(cluster)
        if len(contexts) < len(list(_sockets(cluster))):
            raise MisuseError(
                f"the cluster {cluster.name!r} speaks TLS to some of its endpoints and not to others; real upstreams "
                "cannot stand in for that: use simulated ones"
            )
        self._secured.append(cluster.name)
        self._check()
        for tls in contexts:
            self._names.update(dict.fromkeys(_wanted_names(tls)))
            self._demands = self._demands or _presents(tls)
        folder = kit_authority()
        self._target.speak(KitTls.make(folder, tuple(self._names), demands=self._demands))
        return _with_tls(cluster, lambda tls: _trusting(tls, folder))

    def _check(self) -> None:
        if self._plain and self._secured:
            raise MisuseError(
                f"{self._target!r} stands in for {self._plain[0]!r}, which speaks plain HTTP, and for "
                f"{self._secured[0]!r}, which speaks TLS: make an upstream for each"
            )


def _sockets(cluster: Cluster) -> Iterator[TransportSocket]:
    if cluster.transport_socket is not None:
        yield cluster.transport_socket
    for match in cluster.transport_socket_matches:
        yield match.transport_socket


def _with_tls(cluster: Cluster, change: Any) -> Cluster:
    def changed(socket: TransportSocket) -> TransportSocket:
        if not isinstance(socket.typed_config, UpstreamTlsContext):
            return socket
        return replace(socket, typed_config=change(socket.typed_config))

    own = cluster.transport_socket
    matches = tuple(
        replace(match, transport_socket=changed(match.transport_socket)) for match in cluster.transport_socket_matches
    )
    return replace(
        cluster, transport_socket=changed(own) if own is not None else None, transport_socket_matches=matches
    )


def _trusting(tls: UpstreamTlsContext, authority: CertificateAuthority) -> UpstreamTlsContext:
    common = tls.common_tls_context or CommonTlsContext()
    validation = _validation(common)
    if validation is not None:
        validation = replace(
            validation,
            trusted_ca=DataSource(inline_bytes=authority.path.read_bytes()),
            crl=None,
            only_verify_leaf_cert_crl=False,
            verify_certificate_spki=(),
            verify_certificate_hash=(),
            watched_directory=None,
            match_typed_subject_alt_names=tuple(_typed(one) for one in validation.match_typed_subject_alt_names),
            match_subject_alt_names=tuple(_matcher(one) for one in validation.match_subject_alt_names),
        )
    parameters = common.tls_params
    if parameters is not None:
        parameters = replace(parameters, cipher_suites=(), ecdh_curves=())
    certificates = (_client_certificate(common),) if _presents(tls) else ()
    kept = CommonTlsContext(
        tls_params=parameters,
        tls_certificates=certificates,
        validation_context=validation,
        alpn_protocols=common.alpn_protocols,
    )
    return replace(tls, common_tls_context=kept)


def _validation(common: CommonTlsContext) -> CertificateValidationContext | None:
    """Return what is checked, as far as the policy itself says it; a secret stands for a CA."""
    if common.combined_validation_context is not None:
        return common.combined_validation_context.default_validation_context
    if common.validation_context is None and common.validation_context_sds_secret_config is not None:
        return CertificateValidationContext()
    validation = common.validation_context
    if validation is None:
        return None
    pins = validation.verify_certificate_spki or validation.verify_certificate_hash
    return validation if validation.trusted_ca is not None or pins else None


def _presents(tls: UpstreamTlsContext) -> bool:
    common = tls.common_tls_context
    return common is not None and bool(common.tls_certificates or common.tls_certificate_sds_secret_configs)


def _client_certificate(common: CommonTlsContext) -> TlsCertificate:
    issued = issue(_client_name(common))
    return TlsCertificate(
        certificate_chain=DataSource(inline_bytes=issued.certificate.read_bytes()),
        private_key=DataSource(inline_bytes=issued.key.read_bytes()),
    )


def _client_name(common: CommonTlsContext) -> str:
    """Return what the client calls itself: as the file of its certificate, or its secret, is called."""
    for certificate in common.tls_certificates:
        chain = certificate.certificate_chain
        if chain is not None and chain.filename is not None:
            return as_file(Path(chain.filename).stem) or "client"
    for config in common.tls_certificate_sds_secret_configs:
        return as_file(config.name) or "client"
    return "client"


# --- names --------------------------------------------------------------------------------------------------------


def _wanted_names(tls: UpstreamTlsContext) -> Iterable[str]:
    """Return names that the upstream's certificate must have so that the policy's matchers find one."""
    if tls.sni:
        yield tls.sni
    validation = _validation(tls.common_tls_context or CommonTlsContext())
    if validation is None:
        return
    for typed in validation.match_typed_subject_alt_names:
        yield _fitting(typed.matcher, typed.san_type)
    for matcher in validation.match_subject_alt_names:
        yield _fitting(matcher, "DNS")


def _fitting(matcher: StringMatcher, kind: str) -> str:
    prefix, suffix = ("spiffe://", "/upstream") if kind == "URI" else ("upstream", ".test")
    if matcher.exact is not None:
        return matcher.exact
    if matcher.prefix is not None:
        return matcher.prefix + (suffix.lstrip("./") if matcher.prefix.endswith((".", "/")) else suffix)
    if matcher.suffix is not None:
        return prefix + matcher.suffix
    if matcher.contains is not None:
        return f"{prefix}{matcher.contains}{suffix}"
    return KIT_NAME


def _matcher(matcher: StringMatcher) -> StringMatcher:
    """An expression cannot be turned round into a name: the certificate's own name is asked for in its place."""
    return StringMatcher(exact=KIT_NAME) if matcher.safe_regex is not None else matcher


def _typed(matcher: SubjectAltNameMatcher) -> SubjectAltNameMatcher:
    if matcher.matcher.safe_regex is None and matcher.san_type in ("DNS", "URI", "IP_ADDRESS"):
        return matcher
    return SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact=KIT_NAME))
