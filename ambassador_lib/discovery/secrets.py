"""Secrets of TLS settings and filters: the policy's own, and those that files bring (SDS; semantics 10, 8.3).

A file that is followed holds one secret. The certificates, keys and authorities that it names by their paths are
followed, too: whatever moves into their directories may be news. News that cannot be used is refused with its reason,
and the last good secret stays; of a certificate and a key that do not belong together neither is taken.
"""

from __future__ import annotations

import dataclasses
import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..engine.tls import Current, Fixed
from ..engine.tls_context import new_context, present, trust
from ..errors import PolicyError, PolicyFault
from ..policy.model.core import DataSource, WatchedDirectory
from ..policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    GenericSecret,
    SdsSecretConfig,
    Secret,
    TlsCertificate,
    TlsParameters,
)
from ..policy.secrets import find, merged
from ..policy.sources import SourceError, read_source
from .files import FileWatcher, FollowedFile
from .subscription import Subscriptions

log = logging.getLogger("ambassador_lib.discovery")

T = TypeVar("T")
S = TypeVar("S")


class SecretStore:
    """The secrets of one client; what is named twice is followed once."""

    def __init__(self, own: Sequence[Secret], subscriptions: Subscriptions, files: FileWatcher) -> None:
        self._own = own
        self._subscriptions = subscriptions
        self._files = files
        self._followed: dict[tuple[str, str, str], FollowedSecret[Any]] = {}

    def certificate(self, common: CommonTlsContext) -> Current[TlsCertificate] | None:
        """Return the client's certificate that a context names, `None` where it names none."""
        for config in common.tls_certificate_sds_secret_configs[:1]:
            return self._find(config, "tls_certificate", _check_certificate)
        return None

    def validation(self, common: CommonTlsContext) -> Current[CertificateValidationContext] | None:
        """Return the validation context that a context names, `None` where it names none."""
        combined = common.combined_validation_context
        if combined is not None:
            found = self._find(combined.validation_context_sds_secret_config, "validation_context", _check_validation)
            return _Merged(combined.default_validation_context, found)
        config = common.validation_context_sds_secret_config
        return None if config is None else self._find(config, "validation_context", _check_validation)

    def generic(self, config: SdsSecretConfig) -> Current[bytes]:
        """Return the bytes of a generic secret; for filters (`credential_injector`)."""
        return _Bytes(self._find(config, "generic_secret", _check_nothing))

    def _find(self, config: SdsSecretConfig, kind: str, check: Callable[[Any], None]) -> Current[Any]:
        if config.sds_config is None:
            found = find(self._own, config.name, kind)
            if found is None:
                raise ValueError(f"no {kind} named {config.name!r} among the policy's secrets")
            return Fixed(getattr(found, kind))
        at = config.sds_config.path_config_source
        key = (kind, config.name, "" if at is None else at.path)
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = FollowedSecret(config.name, kind, check, self._files)
            self._subscriptions.follow(config.sds_config, f"the secret {config.name}", followed.use)
        return followed


class FollowedSecret(Generic[T]):
    """One secret of a file, all that it names read into it; `None` while it was not delivered."""

    def __init__(self, name: str, kind: str, check: Callable[[T], None], files: FileWatcher) -> None:
        self.value: T | None = None
        self._name = name
        self._kind = kind
        self._check = check
        self._files = files
        self._told: T | None = None
        self._ends: list[Callable[[], None]] = []
        self._listeners: list[weakref.WeakMethod[Callable[[], None]]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call the method `listener` after each delivery, as long as its object lives."""
        self._listeners.append(weakref.WeakMethod(listener))

    def use(self, content: bytes, path: str) -> Sequence[PolicyFault]:
        """Take the file's content; `PolicyError` says why it cannot be used."""
        from ..policy.responses import read_secret

        secret: T | None = getattr(read_secret(content, path, self._name), self._kind)
        if secret is None:
            raise _refused(path, f"{self._name!r} holds no {self._kind}")
        self._told = secret
        self._follow_files(secret)
        try:
            self._deliver()
        except ValueError as error:
            raise _refused(path, str(error)) from None
        return ()

    def _follow_files(self, secret: object) -> None:
        for end in self._ends:
            end()
        watched: WatchedDirectory | None = getattr(secret, "watched_directory", None)
        self._ends = [
            self._files.follow(_followed(path, watched), lambda _content: self._news())
            for path in dict.fromkeys(source.filename for _, source in _sources(secret) if source.filename is not None)
        ]

    def _news(self) -> None:
        try:
            self._deliver()
        except ValueError as error:
            log.warning("the new files of the secret %s are refused, the last ones stay: %s", self._name, error)

    def _deliver(self) -> None:
        assert self._told is not None, "files are followed because of what was told"
        value = _read(self._told)
        if value == self.value:
            return
        self._check(value)
        self.value = value
        alive = [(listener, found) for listener in self._listeners if (found := listener()) is not None]
        self._listeners = [listener for listener, _ in alive]
        for _, found in alive:
            found()


class _Merged:
    """A validation context with what a secret adds to it."""

    def __init__(self, default: CertificateValidationContext, secret: Current[CertificateValidationContext]) -> None:
        self._default = default
        self._secret = secret

    @property
    def value(self) -> CertificateValidationContext | None:
        """Both together, `None` until the secret is delivered."""
        secret = self._secret.value
        return None if secret is None else merged(self._default, secret)

    def on_change(self, listener: Callable[[], None]) -> None:
        """As the secret's."""
        self._secret.on_change(listener)


class _Bytes:
    """The bytes in a generic secret."""

    def __init__(self, secret: Current[GenericSecret]) -> None:
        self._secret = secret

    @property
    def value(self) -> bytes | None:
        """`None` until the secret is delivered, and where its source cannot be read."""
        secret = self._secret.value
        if secret is None or secret.secret is None:
            return None
        try:
            return read_source(secret.secret)
        except SourceError:
            return None

    def on_change(self, listener: Callable[[], None]) -> None:
        """As the secret's."""
        self._secret.on_change(listener)


def _followed(path: str, watched: WatchedDirectory | None) -> FollowedFile:
    if watched is None:
        file = FollowedFile(path, directory=str(Path(path).parent))
    else:
        file = FollowedFile(path, directory=watched.path, watch_modify=watched.watch_modify)
    try:
        file.read()
    except OSError:
        log.info("%s is not there yet", path)
    return file


def _sources(secret: Any) -> Iterable[tuple[str, DataSource]]:
    for field in dataclasses.fields(secret):
        value = getattr(secret, field.name)
        if isinstance(value, DataSource):
            yield field.name, value


def _read(secret: S) -> S:
    """Return the secret with all that it names in it, so that what belongs together was read together."""
    changes: dict[str, DataSource] = {}
    for name, source in _sources(secret):
        try:
            changes[name] = DataSource(inline_bytes=read_source(source))
        except SourceError as error:
            raise ValueError(error.message) from None
    return dataclasses.replace(secret, **changes)  # type: ignore[type-var]  # one of the model's classes


def _check_certificate(certificate: TlsCertificate) -> None:
    present(new_context(TlsParameters(), (), renegotiates=False), certificate)


def _check_validation(validation: CertificateValidationContext) -> None:
    trust(new_context(TlsParameters(), (), renegotiates=False), validation)


def _check_nothing(_secret: GenericSecret) -> None:
    """Any bytes will do."""


def _refused(path: str, message: str) -> PolicyError:
    return PolicyError([PolicyFault(f"{path}:1:1", "", message)])
