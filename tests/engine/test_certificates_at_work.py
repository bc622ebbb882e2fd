"""Certificates that are exchanged while connections are open: those go on, new ones have the new."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ambassador_lib.discovery.files import FileWatcher
from ambassador_lib.discovery.secrets import SecretStore
from ambassador_lib.discovery.subscription import Subscriptions
from ambassador_lib.engine.tls import TlsSettings
from ambassador_lib.policy.model import (
    CertificateValidationContext,
    CommonTlsContext,
    DataSource,
    SdsSecretConfig,
    UpstreamTlsContext,
)
from ambassador_lib.policy.model.core import ConfigSource, PathConfigSource
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.testing.clock import FakeRandom

from .conftest import Mode
from .servers import OK, read_request, serving

SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


class Files:
    """A client's certificate in a file of secrets, which a watcher looks at when it is told to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pair.json"
        self._watcher = FileWatcher(clock=SystemClock(), random=FakeRandom(), interval=3600)  # never by itself
        self.store = SecretStore((), Subscriptions(self._watcher), self._watcher)

    def put(self, leaf: trustme.LeafCert) -> None:
        chain, key = (pem.bytes().decode() for pem in (leaf.cert_chain_pems[0], leaf.private_key_pem))
        pair = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"resources": [{"@type": SECRET, "name": "pair", "tls_certificate": pair}]}))
        fresh.replace(self._path)

    def look(self) -> None:
        for _ in range(2):  # a file that was just written is read once it rests
            self._watcher.look()

    def settings(self, authority_file: Path) -> TlsSettings:
        source = ConfigSource(path_config_source=PathConfigSource(path=str(self._path)))
        common = CommonTlsContext(
            tls_certificate_sds_secret_configs=(SdsSecretConfig(name="pair", sds_config=source),),
            validation_context=CertificateValidationContext(trusted_ca=DataSource(filename=str(authority_file))),
        )
        return TlsSettings.build(UpstreamTlsContext(common_tls_context=common), secrets=self.store)

    def stop(self) -> None:
        assert self._watcher.stop()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    made.stop()


def test_open_connections_outlive_their_certificate(
    mode: Mode, files: Files, authority: trustme.CA, authority_file: Path
) -> None:
    """A body under way comes to its end, and its connection is kept; who dials afterwards presents the new one."""
    names: list[str] = []
    go_on = threading.Event()

    def handler(sock: ssl.SSLSocket) -> None:
        peer: Any = sock.getpeercert()
        names.append(peer["subjectAltName"][0][1])
        while True:
            is_slow = b"/slow" in read_request(sock)
            sock.sendall(OK[:-1] if is_slow else OK)
            if is_slow:
                assert go_on.wait(5)
                sock.sendall(OK[-1:])

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("upstream.test").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    files.put(authority.issue_cert("old.test"))
    tls = files.settings(authority_file)
    with serving(handler, context) as server:

        async def main(engine: Any) -> None:
            def exchange(target: str) -> Any:
                return mode.exchange(server, tls=tls, sni="upstream.test", target=target, deadline=mode.after(10))

            slow = await mode.send(engine, exchange("/slow"))
            files.put(authority.issue_cert("new.test"))
            files.look()
            beside = await mode.send(engine, exchange("/"))
            assert await mode.read(beside) == b"ok"
            go_on.set()
            assert await mode.read(slow) == b"ok"
            for _ in range(2):
                assert await mode.read(await mode.send(engine, exchange("/"))) == b"ok"
            assert names == ["old.test", "new.test"]
            assert mode.gauge.now == 2

        mode.run(main)
