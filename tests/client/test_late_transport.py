"""httpx's own transport of a client is made when something first goes through it, and nobody can tell."""

from __future__ import annotations

import ssl
import threading
from typing import Any

import httpcore
import httpx
import pytest

from ambassador_lib.testing import Upstream

from .conftest import MakeClient
from .documents import BASE, cluster, policy

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(autouse=True)
def no_certificates_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of certificates must be read at once."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def is_made(client: Any) -> bool:
    return "_pool" in vars(client._transport)


def test_a_policys_urls_make_no_transport_of_httpxs(make_client: MakeClient, kind: str) -> None:
    """Neither making, entering, calling, nor closing a client makes a transport that no call has needed."""
    with Upstream() as upstream, make_client(policy(clusters=[cluster("up", upstream.port)])) as client:
        assert client.get(BASE).status_code == 200
        assert not is_made(client)
    assert not is_made(client)
    assert isinstance(client._transport, httpx.HTTPTransport if kind == "sync" else httpx.AsyncHTTPTransport)


def test_other_urls_go_through_a_transport_that_keeps_its_connections(make_client: MakeClient) -> None:
    """What the policy does not claim makes the transport once, which then serves all calls and is closed."""
    with Upstream() as upstream:
        with make_client(policy()) as client:
            assert client.get(upstream.url).status_code == 200
            pool = client._transport._pool
            assert client.get(upstream.url).status_code == 200
            assert client._transport._pool is pool
            assert len(pool.connections) == 1
        assert pool.connections == []


def test_the_transport_is_what_the_client_was_asked_for(make_client: MakeClient) -> None:
    """The options of the client reach the pool, however late it is made."""
    limits = httpx.Limits(max_connections=3, max_keepalive_connections=2, keepalive_expiry=1.5)
    with make_client(policy(), limits=limits, verify=NO_CERTIFICATES, http1=False, http2=True) as client:
        pool = client._transport._pool
        assert (pool._max_connections, pool._max_keepalive_connections, pool._keepalive_expiry) == (3, 2, 1.5)
        assert pool._ssl_context is NO_CERTIFICATES
        assert (pool._http1, pool._http2) == (False, True)


def test_certificates_are_checked_unless_that_is_unwanted(make_client: MakeClient) -> None:
    """`verify=True`, the default, and `verify=False` mean what they mean in httpx."""
    with make_client(policy()) as careful, make_client(policy(), verify=False) as careless:
        assert careful._transport._pool._ssl_context.verify_mode is ssl.CERT_REQUIRED
        assert careful._transport._pool._ssl_context.cert_store_stats()["x509_ca"] > 0
        assert careless._transport._pool._ssl_context.verify_mode is ssl.CERT_NONE


@pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`cert=...` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("options", [{"verify": "/nowhere.pem"}, {"cert": "/nowhere.pem"}])
def test_what_is_wrong_with_certificates_comes_out_at_once(make_client: MakeClient, options: dict[str, Any]) -> None:
    """A certificate that cannot be read fails the constructor, as with httpx."""
    with pytest.raises(OSError, match="No such file"):
        make_client(policy(), **options)


def test_certificates_of_the_environment_are_read_at_once(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file named by the environment fails the constructor where it cannot be read, unless it does not count."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(OSError, match="No such file"):
        make_client(policy())
    with make_client(policy(), trust_env=False) as client:
        assert client._transport._pool._ssl_context.cert_store_stats()["x509_ca"] > 0


def test_the_environment_counts_as_it_was_when_the_client_was_made(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the environment names later is none of the client's, though its transport is made after that."""
    with make_client(policy()) as client:
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
        assert client._transport._pool._ssl_context.cert_store_stats()["x509_ca"] > 0


def test_threads_that_come_together_share_one_pool(make_client: MakeClient, kind: str) -> None:
    """However many first calls come at once, all go through one pool."""
    with make_client(policy(), verify=NO_CERTIFICATES) as client:
        start, found = threading.Barrier(4), list[object]()

        def look() -> None:
            start.wait(10)
            found.append(client._transport._pool)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(found) == 4 and len(set(map(id, found))) == 1
        assert isinstance(found[0], httpcore.ConnectionPool if kind == "sync" else httpcore.AsyncConnectionPool)


def test_an_unknown_attribute_is_an_attribute_error(make_client: MakeClient) -> None:
    """Nothing else is made late."""
    with make_client(policy()) as client, pytest.raises(AttributeError, match="no attribute 'pool'"):
        client._transport.pool  # noqa: B018
