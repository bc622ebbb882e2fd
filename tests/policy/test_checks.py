"""Checks beyond the schema: on certificates, and on policies written in Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import (
    Address,
    Cluster,
    ClusterLoadAssignment,
    CommonTlsContext,
    DataSource,
    Endpoint,
    HttpConnectionManager,
    HttpFilter,
    LbEndpoint,
    Listener,
    LocalityLbEndpoints,
    Policy,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    Router,
    SocketAddress,
    TransportSocket,
    UpstreamTlsContext,
    VirtualHost,
)
from ambassador_lib.policy.model.dynamic import ClusterManager

from .documents import document, tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, two certificates with their keys, and a key under a password."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("client", "other"):
        issued = authority.issue_cert(f"{name}.test")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    key = serialization.load_pem_private_key((folder / "client.key").read_bytes(), None)
    (folder / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    return folder


def faults(text: str) -> str:
    try:
        Policy.parse(text)
    except PolicyError as error:
        return str(error)
    return ""


def identity(chain: Path, key: Path, password: str = "") -> str:
    locked = f", password: {{inline_string: {password}}}" if password else ""
    return tls(
        f"tls_certificates: [{{certificate_chain: {{filename: {chain}}}, private_key: {{filename: {key}}}{locked}}}]"
    )


def test_a_certificate_and_its_key_are_taken(certificates: Path) -> None:
    """A pair that fits loads, with its password where the key has one."""
    assert faults(identity(certificates / "client.pem", certificates / "client.key")) == ""
    assert faults(identity(certificates / "client.pem", certificates / "locked.key", "secret")) == ""


@pytest.mark.parametrize(
    ("chain", "key", "password", "words"),
    [
        ("client.pem", "other.key", "", "the private key is not the certificate's"),
        ("client.key", "client.key", "", "cannot be used"),
        ("client.pem", "client.pem", "", "cannot be used"),
        ("client.pem", "locked.key", "wrong", "cannot be used"),
        ("client.pem", "locked.key", "", "cannot be used"),
        ("client.pem", "absent.key", "", "private_key.filename"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(
    certificates: Path, chain: str, key: str, password: str, words: str
) -> None:
    """Mismatched, unreadable and locked keys are found when the policy is loaded, without asking at the terminal."""
    assert words in faults(identity(certificates / chain, certificates / key, password))


def test_a_trusted_ca_silences_the_warning(certificates: Path) -> None:
    """With a trusted CA and a name to expect there is nothing to warn about; without either the warning is loud."""
    trusted = f"trusted_ca: {{filename: {certificates / 'ca.pem'}}}"
    named = f"{trusted}, match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: a}}}}]"
    assert Policy.parse(tls(f"validation_context: {{{named}}}")).warnings == ()
    by_sni = tls(f"validation_context: {{{trusted}}}", more="auto_sni_san_validation: true")
    assert Policy.parse(by_sni).warnings == ()
    (warning,) = Policy.parse(tls(f"validation_context: {{{trusted}}}")).warnings
    assert "ANY certificate of that CA is accepted" in warning.message
    (warning,) = Policy.parse(tls()).warnings
    assert "NOT verified" in warning.message
    assert "cluster c" in warning.message


def test_accepting_untrusted_certificates_is_a_warning(certificates: Path) -> None:
    """ACCEPT_UNTRUSTED is legal and worth a warning."""
    text = tls(
        f"validation_context: {{trusted_ca: {{filename: {certificates / 'ca.pem'}}}, "
        "trust_chain_verification: ACCEPT_UNTRUSTED}"
    )
    assert "ACCEPT_UNTRUSTED" in str(Policy.parse(text).warnings[0])


def test_sources_may_be_inline_or_in_the_environment(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates come from files, from the document, and from environment variables."""
    monkeypatch.setenv("POLICY_CA", (certificates / "ca.pem").read_text())
    assert faults(tls("validation_context: {trusted_ca: {environment_variable: POLICY_CA}}")) == ""
    assert "NO_SUCH_CA is not set" in faults(
        tls("validation_context: {trusted_ca: {environment_variable: NO_SUCH_CA}}")
    )
    inline = (certificates / "ca.pem").read_text().replace("\n", "\\n")
    assert faults(tls(f'validation_context: {{trusted_ca: {{inline_string: "{inline}"}}}}')) == ""


def test_a_regex_without_google_re2_is_refused_with_that_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where google-re2 has no wheel, only policies with regular expressions are refused."""
    monkeypatch.setitem(sys.modules, "re2", None)
    assert "google-re2, which is not installed" in faults(document(match="safe_regex: {regex: a}"))
    assert faults(document()) == ""


def test_a_bad_regex_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """RE2 complains in the fault only."""
    assert "not an RE2 expression" in faults(document(match='safe_regex: {regex: "(?=a)"}'))
    assert capfd.readouterr().err == ""


# Policies written in Python

ROUTE = "listeners[0].http_connection_manager.route_config.virtual_hosts[0].routes[0].route"
ADDRESS = "clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address"


def written(*, cluster: str = "c", address: str = "127.0.0.1", socket: TransportSocket | None = None) -> Policy:
    endpoint = Endpoint(address=Address(socket_address=SocketAddress(address=address, port_value=80)))
    upstream = Cluster(
        name="c",
        load_assignment=ClusterLoadAssignment(
            cluster_name="c", endpoints=(LocalityLbEndpoints(lb_endpoints=(LbEndpoint(endpoint=endpoint),)),)
        ),
        transport_socket=socket,
    )
    route = Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster=cluster))
    manager = HttpConnectionManager(
        stat_prefix="p",
        route_config=RouteConfiguration(virtual_hosts=(VirtualHost(name="v", domains=("*",), routes=(route,)),)),
        http_filters=(HttpFilter(name="envoy.filters.http.router", typed_config=Router()),),
    )
    listener = Listener(
        name="l",
        address=Address(socket_address=SocketAddress(address="127.0.0.1", port_value=15001)),
        http_connection_manager=manager,
    )
    return Policy(listeners=[listener], clusters=[upstream])


def test_a_policy_in_python_equals_the_one_from_a_file() -> None:
    """The same names make the same policy; lists become tuples."""
    text = document(endpoint="address: {socket_address: {address: 127.0.0.1, port_value: 80}}")
    assert written() == Policy.parse(text)
    assert isinstance(written().clusters, tuple)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cluster": "d"},
            f"<python>: {ROUTE}.cluster: unknown cluster 'd'; the clusters are c",
        ),
        (
            {"address": "a.test"},
            f"<python>: {ADDRESS}.address: 'a.test' is not an IP address, as STATIC needs",
        ),
    ],
)
def test_a_policy_in_python_is_checked_too(changes: dict[str, str], message: str) -> None:
    """The checks hold for policies written in Python, and name the field's path."""
    with pytest.raises(PolicyError) as caught:
        written(**changes)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_a_policy_in_python_has_warnings_too() -> None:
    """TLS without a trusted CA is warned about wherever it is written."""
    context = UpstreamTlsContext(common_tls_context=CommonTlsContext())
    (warning,) = written(socket=TransportSocket(name="tls", typed_config=context)).warnings
    assert warning.location == "<python>"
    assert "NOT verified" in warning.message
    with pytest.raises(PolicyError, match="expected UpstreamTlsContext or RawBuffer, not DataSource"):
        written(socket=TransportSocket(name="tls", typed_config=DataSource()))


def test_an_empty_policy_is_a_policy() -> None:
    """Nothing is a valid policy: everything passes through."""
    assert Policy() == Policy.parse("{}")
    assert Policy().warnings == ()


def test_a_local_cluster_written_in_python_is_held_to_envoys_rules() -> None:
    """It must be among the policy's clusters."""
    with pytest.raises(PolicyError, match="the local cluster 'us' must be among"):
        Policy(cluster_manager=ClusterManager(local_cluster_name="us"))


def test_a_local_cluster_without_a_place_has_no_effect() -> None:
    """Without `node.locality` nothing is local, and the policy's author is told."""
    policy = Policy(
        clusters=[Cluster(name="us")],
        cluster_manager=ClusterManager(local_cluster_name="us"),
    )
    assert any("node.locality" in warning.message for warning in policy.warnings)
