"""The simulated upstream, seen with plain httpx and plain sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509

from ambassador_lib.testing import Reaction, Seen, ServerTls, Upstream, close, drip, garbage, hang, reply, reset
from ambassador_lib.testing.certificates import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """An authority for this module."""
    return CertificateAuthority(tmp_path_factory.mktemp("certificates"))


def get(upstream: Upstream, path: str = "/", timeout: float = 5.0) -> httpx.Response:
    """Ask once, on a connection of its own."""
    with httpx.Client(trust_env=False, timeout=timeout) as client:
        return client.get(upstream.url + path)


def test_replies_come_in_turn_and_the_last_repeats() -> None:
    """A script of three serves four requests."""
    with Upstream(503, reply(201, headers={"x-a": "1"}, text="made"), 200) as upstream:
        answers = [get(upstream) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 201, 200, 200]
    assert (answers[1].text, answers[1].headers["x-a"]) == ("made", "1")
    assert upstream.failures == 1


def test_requests_are_recorded_whole() -> None:
    """Method, target, headers, body and connection are kept as they arrived."""
    before = time.monotonic()
    with Upstream() as upstream, httpx.Client(trust_env=False) as client:
        client.post(upstream.url + "/a?b=c", content=b"body", headers={"X-Twice": "1"})
        client.put(upstream.url + "/d", content=iter([b"chun", b"ked"]))
    first, second = upstream.requests
    assert (first.method, first.target, first.path, first.body) == ("POST", "/a?b=c", "/a", b"body")
    assert (first.header("x-twice"), first.all("x-nothing")) == ("1", [])
    assert (second.body, second.connection) == (b"chunked", first.connection)
    assert before < first.arrived <= second.arrived
    assert (first.answered, first.failed, first.client) == (200, False, None)
    assert upstream.connections == 1


def test_a_script_may_belong_to_a_path_or_compute_its_answer() -> None:
    """One path has its own script, and a callable answers by what it is asked."""

    def echo(seen: Seen) -> Reaction:
        return reply(text=seen.header("x-say") or "")

    with Upstream(echo) as upstream:
        upstream.on("GET", "/lost").replies(404)
        assert get(upstream, "/lost").status_code == 404
        assert httpx.get(upstream.url, headers={"x-say": "hello"}).text == "hello"


@pytest.mark.parametrize(
    ("reaction", "expected"),
    [
        (close(), httpx.RemoteProtocolError),
        (close("in head"), httpx.RemoteProtocolError),
        (close("in body"), httpx.RemoteProtocolError),
        (Reaction(body=(b"a", b"b"), ending="close", place="in body"), httpx.RemoteProtocolError),
        (reset(), httpx.ReadError),
        (reset("in head"), httpx.ReadError),
        (reset("in body"), httpx.ReadError),
        (garbage(), httpx.RemoteProtocolError),
        (hang(), httpx.ReadTimeout),
        (hang("in head"), httpx.ReadTimeout),
        (hang("in body"), httpx.ReadTimeout),
    ],
    ids=lambda value: f"{value.ending} {value.place}" if isinstance(value, Reaction) else value.__name__,
)
def test_misbehaviour_is_seen_as_such(reaction: Reaction, expected: type[Exception]) -> None:
    """Each way of not answering reaches the client as the error it stands for, and counts as a failure."""
    with Upstream(reaction) as upstream:
        with pytest.raises(expected):
            get(upstream, timeout=0.1)
        assert upstream.failures == 1


def test_head_and_bodiless_statuses_send_no_body() -> None:
    """The next reply on the same connection is not mistaken for a body."""
    with Upstream(reply(text="12345"), 204, 304, 200) as upstream, httpx.Client(trust_env=False) as client:
        assert client.head(upstream.url).headers["content-length"] == "5"
        assert [client.get(upstream.url).status_code for _ in range(3)] == [204, 304, 200]
        assert upstream.connections == 1


def test_a_dripping_body_arrives_piece_by_piece() -> None:
    """The first piece is there before the last is sent."""
    with Upstream(drip(b"one", b"two", pause=0.05)) as upstream, httpx.stream("GET", upstream.url) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"one"
        assert upstream.requests[0].finished is None
        assert list(pieces) == [b"two"]


def test_a_peer_that_leaves_is_noticed() -> None:
    """A hanging answer ends when the client gives up, and the record says so."""
    with Upstream(hang()) as upstream:
        with pytest.raises(httpx.ReadTimeout):
            get(upstream, timeout=0.05)
        until(lambda: upstream.open_connections == 0)
        assert upstream.requests[0].gone is not None


def test_down_it_refuses_and_recovered_it_answers_on_the_same_port() -> None:
    """`is_down` cuts what is under way; nobody else gets the port meanwhile."""
    with Upstream(hang()) as upstream, ThreadPoolExecutor(1) as pool:
        port = upstream.port
        waiting = pool.submit(get, upstream)
        until(lambda: len(upstream.requests) == 1)
        upstream.is_down()
        assert isinstance(waiting.exception(5), httpx.ReadError)
        with pytest.raises(httpx.ConnectError):
            get(upstream)
        upstream.replies(200)
        assert (get(upstream).status_code, upstream.port) == (200, port)


def test_nothing_is_left_behind() -> None:
    """After `close` no thread runs, the port is free, and closing again does no harm."""
    before = set(threading.enumerate())
    with Upstream(hang()) as upstream:
        silent = socket.create_connection((upstream.host, upstream.port))
        until(lambda: upstream.open_connections == 1)
    assert silent.recv(1) == b""
    silent.close()
    upstream.close()
    assert set(threading.enumerate()) <= before
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((upstream.host, upstream.port))
        free.listen()


def test_what_is_no_http_is_turned_away() -> None:
    """A malformed request gets a 400, not a dead thread."""
    with Upstream() as upstream, socket.create_connection((upstream.host, upstream.port)) as peer:
        peer.sendall(b"nonsense\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_client_certificate_is_demanded_and_recorded(authority: CertificateAuthority) -> None:
    """With one the client's name and the asked-for name are recorded; without one there is no answer."""
    server = authority.issue("server", "127.0.0.1", "localhost")
    client = authority.issue("billing-app")
    with Upstream(tls=ServerTls(server.certificate, server.key, client_authority=authority.path)) as upstream:
        context = ssl.create_default_context(cafile=authority.path)
        with pytest.raises(httpx.TransportError):
            httpx.get(upstream.url, verify=context)
        context.load_cert_chain(client.certificate, client.key)
        url = f"https://localhost:{upstream.port}"
        assert httpx.get(url, verify=context).status_code == 200
        until(lambda: len(upstream.handshake_failures) == 1)
    assert [(seen.client, seen.server_name) for seen in upstream.requests] == [("billing-app", "localhost")]


def test_an_expired_certificate_is_refused(authority: CertificateAuthority) -> None:
    """`expired=True` makes what a careful client turns away."""
    server = authority.issue("expired", "127.0.0.1", expired=True)
    with Upstream(tls=ServerTls(server.certificate, server.key)) as upstream:
        context = ssl.create_default_context(cafile=authority.path)
        with pytest.raises(httpx.ConnectError, match="expired"):
            httpx.get(upstream.url, verify=context)


def test_certificates_carry_every_kind_of_name(authority: CertificateAuthority) -> None:
    """DNS names, addresses and URIs each land in their own field, and the key is the owner's alone."""
    issued = authority.issue("named", "a.test", "10.0.0.1", "::1", "spiffe://a/b")
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://a/b"]
    assert Path(issued.key).stat().st_mode & 0o077 == 0


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for another thread, with a bound."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.002)
