"""Secrets of files: what is delivered, what is refused, and who is told (semantics 10, SDS)."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ambassador_lib.discovery.files import FileWatcher
from ambassador_lib.discovery.secrets import SecretStore
from ambassador_lib.discovery.subscription import Subscriptions
from ambassador_lib.engine.tls import Current, TlsSettings
from ambassador_lib.errors import PolicyError, UpstreamConnectError
from ambassador_lib.policy.model import (
    CertificateValidationContext,
    CommonTlsContext,
    DataSource,
    GenericSecret,
    SdsSecretConfig,
    Secret,
    StringMatcher,
    SubjectAltNameMatcher,
    UpstreamTlsContext,
)
from ambassador_lib.policy.model.core import ConfigSource, PathConfigSource
from ambassador_lib.policy.secrets import merged
from ambassador_lib.runtime.clock import SystemClock
from ambassador_lib.testing.clock import FakeRandom

TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


class Kit:
    """A store over files in one folder; `look` is what the watcher does now and then."""

    def __init__(self, folder: Path, *own: Secret) -> None:
        self.folder = folder
        self.files = FileWatcher(clock=SystemClock(), random=FakeRandom(), interval=3600)  # never by itself
        self.subscriptions = Subscriptions(self.files)
        self.store = SecretStore(own, self.subscriptions, self.files)

    def put(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(fresh, path)
        return str(path)

    def tell(self, file: str, **secret: Any) -> None:
        self.put(file, json.dumps({"resources": [{"@type": TYPE, **secret}]}))

    def look(self) -> None:
        for _ in range(2):  # a file that was just written is read once it rests
            self.files.look()

    def config(self, name: str, file: str) -> SdsSecretConfig:
        source = ConfigSource(path_config_source=PathConfigSource(path=str(self.folder / file)))
        return SdsSecretConfig(name=name, sds_config=source)

    def certificate(self, name: str, file: str) -> Current[Any]:
        found = self.store.certificate(CommonTlsContext(tls_certificate_sds_secret_configs=(self.config(name, file),)))
        assert found is not None
        return found


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    made = Kit(tmp_path)
    yield made
    assert made.files.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pair(kit: Kit, leaf: trustme.LeafCert, *, key: trustme.LeafCert | None = None, folder: str = "") -> dict[str, Any]:
    chain = kit.put(f"{folder}chain.pem", leaf.cert_chain_pems[0].bytes())
    private = kit.put(f"{folder}key.pem", (key or leaf).private_key_pem.bytes())
    return {"certificate_chain": {"filename": chain}, "private_key": {"filename": private}}


class Listener:
    def __init__(self) -> None:
        self.heard = 0

    def hear(self) -> None:
        self.heard += 1


def test_what_a_secret_names_is_read_into_it(kit: Kit, authority: trustme.CA) -> None:
    """Certificate and key are taken together, so that no connection sees one of the old and one of the new."""
    leaf = authority.issue_cert("a.test")
    kit.tell("pair.json", name="p", tls_certificate=pair(kit, leaf))
    found = kit.certificate("p", "pair.json")
    assert found.value.certificate_chain == DataSource(inline_bytes=leaf.cert_chain_pems[0].bytes())
    assert found.value.private_key == DataSource(inline_bytes=leaf.private_key_pem.bytes())


def test_half_a_pair_is_refused(kit: Kit, authority: trustme.CA) -> None:
    """A certificate that came without its key leaves the old pair; the key makes it the new one. Listeners are told."""
    leaf, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    kit.tell("pair.json", name="p", tls_certificate=pair(kit, leaf))
    found = kit.certificate("p", "pair.json")
    listener = Listener()
    found.on_change(listener.hear)
    before = found.value
    kit.put("chain.pem", other.cert_chain_pems[0].bytes())
    kit.look()
    assert (found.value, listener.heard) == (before, 0)
    kit.put("key.pem", other.private_key_pem.bytes())
    kit.look()
    assert found.value.private_key == DataSource(inline_bytes=other.private_key_pem.bytes())
    assert listener.heard == 1
    kit.put("unrelated", "x")
    kit.look()
    assert listener.heard == 1


def test_nothing_is_there_yet(kit: Kit, authority: trustme.CA) -> None:
    """Files that a secret names may come after it."""
    leaf = authority.issue_cert("a.test")
    told = pair(kit, leaf)
    (kit.folder / "key.pem").unlink()
    kit.tell("pair.json", name="p", tls_certificate=told)
    found = kit.certificate("p", "pair.json")
    assert found.value is None
    assert list(kit.subscriptions.errors) == [str(kit.folder / "pair.json")]
    pair(kit, leaf)
    kit.look()
    assert found.value is not None


def test_a_watched_directory_announces_news(kit: Kit, authority: trustme.CA) -> None:
    """With `watched_directory` that one counts, and not the files' own."""
    leaf, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    kit.put("sign/now", "")
    told = {**pair(kit, leaf), "watched_directory": {"path": str(kit.folder / "sign")}}
    kit.tell("pair.json", name="p", tls_certificate=told)
    found = kit.certificate("p", "pair.json")
    before = found.value
    pair(kit, other)
    kit.look()
    assert found.value == before
    kit.put("sign/again", "")
    kit.look()
    assert found.value != before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{{{", ""),
        ('{"resources": []}', "no resources"),
        (
            json.dumps({"resources": [{"@type": TYPE, "name": "q", "generic_secret": {}}]}),
            "'q' is not what is expected",
        ),
        (json.dumps({"resources": [{"@type": TYPE, "name": "p", "generic_secret": {}}]}), "holds no tls_certificate"),
        (json.dumps({"resources": [{"@type": TYPE, "name": "p", "tls_certificate": {}}]}), "both needed"),
    ],
)
def test_an_update_of_no_use(kit: Kit, authority: trustme.CA, content: str, reason: str) -> None:
    """It is refused with its reason, at first and later on; the last good secret stays."""
    kit.put("pair.json", content)
    found = kit.certificate("p", "pair.json")
    assert found.value is None
    assert reason in str(kit.subscriptions.errors[str(kit.folder / "pair.json")])
    kit.tell("pair.json", name="p", tls_certificate=pair(kit, authority.issue_cert("a.test")))
    kit.look()
    before = found.value
    assert before is not None
    assert kit.subscriptions.errors == {}
    kit.put("pair.json", content)
    kit.look()
    assert found.value is before
    assert reason in str(kit.subscriptions.errors[str(kit.folder / "pair.json")])


def test_a_file_must_be_there(kit: Kit) -> None:
    """As in Envoy, a file that does not exist when one starts is an error."""
    with pytest.raises(PolicyError, match="cannot be read"):
        kit.certificate("p", "nowhere.json")


def test_one_file_is_followed_once(kit: Kit, authority: trustme.CA) -> None:
    """Whoever names the same secret shares it."""
    kit.tell("pair.json", name="p", tls_certificate=pair(kit, authority.issue_cert("a.test")))
    assert kit.certificate("p", "pair.json") is kit.certificate("p", "pair.json")


def test_generic_secrets(kit: Kit) -> None:
    """Bytes for filters: of a file, which may change, or the policy's own."""
    kit.tell("token.json", name="t", generic_secret={"secret": {"inline_string": "one"}})
    found = kit.store.generic(kit.config("t", "token.json"))
    assert found.value == b"one"
    kit.put("token", "two")
    kit.tell("token.json", name="t", generic_secret={"secret": {"filename": str(kit.folder / "token")}})
    kit.look()
    assert found.value == b"two"
    kit.put("token", "three")
    kit.look()
    assert found.value == b"three"


def test_the_policys_own(tmp_path: Path) -> None:
    """A name without a file is one of the policy's secrets, of the kind that is asked for."""
    own = Secret(name="s", generic_secret=GenericSecret(secret=DataSource(inline_string="x")))
    kit = Kit(tmp_path, own)
    assert kit.store.generic(SdsSecretConfig(name="s")).value == b"x"
    with pytest.raises(ValueError, match="no validation_context named 's'"):
        kit.store.validation(CommonTlsContext(validation_context_sds_secret_config=SdsSecretConfig(name="s")))
    assert kit.store.certificate(CommonTlsContext()) is None
    assert kit.store.validation(CommonTlsContext()) is None


def settings(kit: Kit, common: CommonTlsContext) -> TlsSettings:
    return TlsSettings.build(UpstreamTlsContext(common_tls_context=common), secrets=kit.store)


def test_settings_follow_their_secrets(kit: Kit, authority: trustme.CA) -> None:
    """Connections fail until the secret is delivered; each delivery is a new material, and a bad one is none."""
    kit.put("ca.json", '{"resources": []}')
    tls = settings(kit, CommonTlsContext(validation_context_sds_secret_config=kit.config("ca", "ca.json")))
    with pytest.raises(UpstreamConnectError) as failure:
        tls.material()
    assert failure.value.reply.details.endswith("|TLS_error:_Secret_is_not_supplied_by_SDS}")
    pem = authority.cert_pem.bytes().decode()
    kit.tell("ca.json", name="ca", validation_context={"trusted_ca": {"inline_string": pem}})
    kit.look()
    first = tls.material()
    san = {"san_type": "DNS", "matcher": {"exact": "a.test"}}
    kit.tell("ca.json", name="ca", validation_context={"match_typed_subject_alt_names": [san]})
    kit.look()
    assert tls.material() is first


def test_a_secret_beside_a_default(kit: Kit, authority: trustme.CA) -> None:
    """What the secret sets wins, its lists are appended, and what only both together can tell wrong is refused."""
    own, theirs = (SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact=name)) for name in "ab")
    default = CertificateValidationContext(
        trusted_ca=DataSource(inline_string="1"), match_typed_subject_alt_names=(own,), allow_expired_certificate=True
    )
    secret = CertificateValidationContext(
        trusted_ca=DataSource(inline_string="2"), match_typed_subject_alt_names=(theirs,)
    )
    assert merged(default, secret) == CertificateValidationContext(
        trusted_ca=DataSource(inline_string="2"),
        match_typed_subject_alt_names=(own, theirs),
        allow_expired_certificate=True,
    )
    kit.tell("ca.json", name="ca", validation_context={})
    combined = CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=(own,)),
        validation_context_sds_secret_config=kit.config("ca", "ca.json"),
    )
    tls = settings(kit, CommonTlsContext(combined_validation_context=combined))
    with pytest.raises(UpstreamConnectError):
        tls.material()
    pem = authority.cert_pem.bytes().decode()
    kit.tell("ca.json", name="ca", validation_context={"trusted_ca": {"inline_string": pem}})
    kit.look()
    assert tls.material() is tls.material()


def test_settings_that_are_dropped_are_not_kept(kit: Kit, authority: trustme.CA) -> None:
    """Clusters come and go; the secret that they shared does not hold them."""
    kit.tell("pair.json", name="p", tls_certificate=pair(kit, authority.issue_cert("a.test")))
    found = kit.certificate("p", "pair.json")
    listeners = [Listener() for _ in range(3)]
    for listener in listeners:
        found.on_change(listener.hear)
    kept = listeners[0]
    del listeners, listener
    gc.collect()
    pair(kit, authority.issue_cert("b.test"))
    kit.look()
    assert kept.heard == 1
    assert len(found._listeners) == 1  # type: ignore[attr-defined]
