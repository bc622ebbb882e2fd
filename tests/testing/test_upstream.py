"""The simulated upstream, seen with plain httpx and plain sockets."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509

from ambassador_lib.testing import (
    Reaction,
    ScriptError,
    Seen,
    ServerTls,
    Upstream,
    close,
    drip,
    garbage,
    hang,
    reply,
    reset,
)
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
            get(upstream, timeout=0.1 if expected is httpx.ReadTimeout else 10.0)
        until(lambda: upstream.failures == 1)


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


def test_two_hundred_connections_are_served_at_once() -> None:
    """One thread serves them all; nothing is left of them afterwards."""
    before = held()
    with Upstream(reply(text="here", after=0.05)) as upstream:
        sockets = [socket.create_connection((upstream.host, upstream.port)) for _ in range(200)]
        threads = threading.active_count()
        for sock in sockets:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        for sock in sockets:
            sock.settimeout(10)
            assert read_until(sock, b"here").startswith(b"HTTP/1.1 200")
        assert (upstream.connections, upstream.open_connections) == (200, 200)
        assert threads == before[1] + 1
        for sock in sockets:
            sock.close()
        until(lambda: upstream.open_connections == 0)
    until(lambda: held() <= before)


def test_it_is_quick_to_start_and_to_end() -> None:
    """A test may make as many as it likes: a few milliseconds each (of some the fastest, since machines are busy)."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        Upstream().close()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.005


def test_endpoints_share_a_port_at_addresses_of_their_own() -> None:
    """Each is told apart in the records, and one of them can fail alone."""
    with Upstream(endpoints=3) as upstream:
        addresses = upstream.addresses
        if sys.platform == "linux":
            assert addresses == [(f"127.0.0.{number}", upstream.port) for number in (1, 2, 3)]
        assert len(set(addresses)) == 3
        upstream.endpoint(1).is_down()
        statuses = []
        for host, port in addresses:
            try:
                statuses.append(httpx.get(f"http://{host}:{port}/", trust_env=False).status_code)
            except httpx.ConnectError:
                statuses.append(0)
        assert statuses == [200, 0, 200]
        assert [seen.endpoint for seen in upstream.requests] == [0, 2]


def test_it_grows_unless_its_endpoints_were_counted() -> None:
    """A policy may want more endpoints than a test thought of; what was said already holds for them too."""
    with Upstream() as upstream:
        upstream.replies(201)
        upstream.grow(2)
        host, port = upstream.addresses[1]
        assert httpx.get(f"http://{host}:{port}/", trust_env=False).status_code == 201
    with Upstream(endpoints=2) as upstream:
        upstream.grow(2)
        with pytest.raises(ScriptError, match="endpoints=2"):
            upstream.grow(3)


def test_time_takes_it_down_and_up_again() -> None:
    """Real seconds: open connections are reset, others refused, until it is over."""
    with Upstream() as upstream, httpx.Client(trust_env=False) as client:
        client.get(upstream.url)
        upstream.replies(200, for_=0.1).then.is_down(for_=0.15).then.replies(204)
        began = time.monotonic()
        until(lambda: upstream.open_connections == 0)
        assert time.monotonic() - began > 0.08
        with pytest.raises(httpx.ConnectError):
            get(upstream)
        until(lambda: answers(upstream))
        assert 0.2 < time.monotonic() - began < 20.0
        assert get(upstream).status_code == 204


def test_a_verb_has_taken_effect_when_it_returns() -> None:
    """However often it changes, the very next connection meets what was said last."""
    with Upstream() as upstream:
        for _ in range(20):
            upstream.is_down()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((upstream.host, upstream.port), 5).close()
            upstream.recovers()
            socket.create_connection((upstream.host, upstream.port), 5).close()


def test_an_answer_may_change_the_script() -> None:
    """A function that answers runs in the upstream's own thread, and is free to say something."""
    with Upstream() as upstream:

        def last(seen: Seen) -> int:
            upstream.is_down()
            return 200

        upstream.replies(last)
        with pytest.raises(httpx.TransportError):
            get(upstream)
        with pytest.raises(httpx.ConnectError):
            get(upstream)


def test_what_breaks_one_connection_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the kit's own is told at the test's end, and no thread dies of it."""

    def broken(self: Any, data: bytes, now: float) -> None:
        raise ZeroDivisionError

    with Upstream() as upstream:
        with monkeypatch.context() as patched, pytest.raises(httpx.TransportError):
            patched.setattr("ambassador_lib.testing.peer_http1.Http1Peer._feed", broken)
            get(upstream)
        assert upstream.misuses == ["upstream broke: ZeroDivisionError()"]
        assert get(upstream).status_code == 200


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux tells them")
def test_one_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong answer, a wrong TLS, an address that is not to be had: no port, no descriptor, no thread stays."""

    def no_address(*_: object) -> socket.socket:
        raise OSError("no address")

    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with pytest.raises(ScriptError):
        Upstream(99)
    with pytest.raises(AttributeError):
        Upstream(tls=object())  # type: ignore[arg-type]
    monkeypatch.setattr("ambassador_lib.testing.upstream.bound_beside", no_address)
    with pytest.raises(OSError, match="no address"):
        Upstream(endpoints=2)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (before, threads)


def test_what_goes_wrong_is_told_to_whoever_asked_and_it_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that cannot be had is the caller's error; what fails by itself is noted; neither ends the server."""

    def no_address(*_: object) -> socket.socket:
        raise OSError("no address")

    with Upstream() as upstream:
        with monkeypatch.context() as patch:
            patch.setattr("ambassador_lib.testing.upstream.bound_beside", no_address)
            with pytest.raises(OSError, match="no address"):
                upstream.grow(2)
        assert httpx.get(upstream.url).status_code == 200
        with monkeypatch.context() as patch:
            upstream.is_down(for_=0.02)
            patch.setattr("ambassador_lib.testing.upstream.Listener.open", no_address)
            until = time.monotonic() + 5
            while not upstream.misuses and time.monotonic() < until:
                time.sleep(0.005)
            assert "no address" in upstream.misuses[0]
        upstream.recovers()
        assert httpx.get(upstream.url).status_code == 200


def test_a_handshake_that_is_to_fail_where_there_is_none_is_a_reset() -> None:
    """Without TLS the connection is broken off."""
    with Upstream() as upstream:
        upstream.fails_handshake(1).then.replies(200)
        with pytest.raises(httpx.NetworkError):
            get(upstream)
        assert get(upstream).status_code == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing to inherit")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_ends_it_ends_nothing() -> None:
    """After a fork the upstream is the parent's; what a child does on its way out leaves it alone."""
    with Upstream() as upstream:
        child = os.fork()
        if child == 0:
            upstream.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert get(upstream).status_code == 200


def test_a_bound_port_of_a_peer_that_is_down_stays_its_own() -> None:
    """Nobody else gets it meanwhile."""
    with Upstream() as upstream:
        upstream.is_down()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((upstream.host, upstream.port))


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


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_tls_agrees_on_a_protocol(authority: CertificateAuthority, http2: bool) -> None:
    """HTTP/2 where the client offers it, HTTP/1.1 else; with a client certificate over either."""
    server, client = authority.issue("server", "127.0.0.1", "localhost"), authority.issue("app")
    with Upstream(tls=ServerTls(server.certificate, server.key, client_authority=authority.path)) as upstream:
        upstream.replies(text="x" * 300_000)
        context = ssl.create_default_context(cafile=authority.path)
        context.load_cert_chain(client.certificate, client.key)
        with httpx.Client(trust_env=False, verify=context, http2=http2) as session:
            answer = session.get(upstream.url)
    assert (answer.http_version, len(answer.content)) == ("HTTP/2" if http2 else "HTTP/1.1", 300_000)
    assert [seen.client for seen in upstream.requests] == ["app"]


def test_a_handshake_fails_as_said(authority: CertificateAuthority) -> None:
    """With an alert that names the reason; the next one succeeds."""
    server = authority.issue("server", "127.0.0.1")
    context = ssl.create_default_context(cafile=authority.path)
    with Upstream(tls=ServerTls(server.certificate, server.key)) as upstream:
        upstream.fails_handshake(1).then.replies(200)
        with pytest.raises(httpx.ConnectError, match="handshake failure"):
            httpx.get(upstream.url, verify=context, trust_env=False)
        assert httpx.get(upstream.url, verify=context, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("reaction", "expected"),
    [
        (close("in body"), httpx.RemoteProtocolError),
        (reset("in body"), httpx.TransportError),  # what it looks like depends on OpenSSL
        (hang("in body"), httpx.ReadTimeout),
        (garbage(), httpx.RemoteProtocolError),
    ],
    ids=["close", "reset", "hang", "garbage"],
)
def test_misbehaviour_inside_tls_is_seen_as_such(
    reaction: Reaction, expected: type[Exception], authority: CertificateAuthority
) -> None:
    """As without TLS."""
    server = authority.issue("server", "127.0.0.1")
    context = ssl.create_default_context(cafile=authority.path)
    patience = httpx.Timeout(10.0, read=0.1 if expected is httpx.ReadTimeout else 10.0)
    with Upstream(reaction, tls=ServerTls(server.certificate, server.key)) as upstream, pytest.raises(expected):
        httpx.get(upstream.url, verify=context, trust_env=False, timeout=patience)


def test_tls_may_come_later(authority: CertificateAuthority) -> None:
    """What is open stays plain; new connections are secured."""
    server = authority.issue("server", "127.0.0.1")
    with Upstream() as upstream, httpx.Client(trust_env=False) as plain:
        url = upstream.url
        assert plain.get(url).status_code == 200
        upstream.speak(ServerTls(server.certificate, server.key))
        assert upstream.url.startswith("https://")
        assert plain.get(url).status_code == 200
        context = ssl.create_default_context(cafile=authority.path)
        assert httpx.get(upstream.url, verify=context, trust_env=False).status_code == 200


def held() -> tuple[int, int]:
    """How many files and threads are open."""
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0, threading.active_count()


def answers(upstream: Upstream) -> bool:
    """Whether it can be connected to."""
    try:
        socket.create_connection((upstream.host, upstream.port), 1).close()
    except OSError:
        return False
    return True


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """Read until what was read ends so."""
    data = b""
    while not data.endswith(end):
        data += sock.recv(4096)
    return data


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for another thread, with a bound."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.002)


def test_an_orderly_end_stays_one_whatever_is_sent_after_it() -> None:
    """What a client still sends makes no reset of it, and the connection does not stay for long."""
    with Upstream() as upstream:
        upstream.closes()
        with socket.create_connection((upstream.host, upstream.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.recv(10) == b""
            for _ in range(3):  # after a reset the second would raise
                client.sendall(b"more")
            assert client.recv(10) == b""
            end = time.monotonic() + 30
            while upstream.open_connections:
                assert time.monotonic() < end
                time.sleep(0.01)
