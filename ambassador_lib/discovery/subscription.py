"""Files of resources, read at once and followed: each update is used, or refused with its reason (semantics 8.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..errors import PolicyError, PolicyFault
from ..policy.model.core import ConfigSource
from .files import FileWatcher, FollowedFile

log = logging.getLogger("ambassador_lib.discovery")

Use = Callable[[bytes, str], Sequence[PolicyFault]]
"""Uses a file's content (and name): raises `PolicyError` where nothing of it can be used, and returns the faults of
what it did without."""

End = Callable[[], None]


class Subscriptions:
    """What one client follows. `errors` are the latest updates that could not be used, or not entirely, by file."""

    def __init__(self, files: FileWatcher) -> None:
        self.errors: dict[str, PolicyError] = {}
        self._files = files

    def follow(self, source: ConfigSource, what: str, use: Use) -> End:
        """Use the file's content now, and each new one from now on; return what ends it.

        A file that is not there is a `PolicyError`. One that cannot be used is not: as Envoy does, one goes on with
        what one has, which at first is nothing.
        """
        at = source.path_config_source
        assert at is not None, "a policy without a file to follow is refused"
        watched = at.watched_directory
        file = FollowedFile(
            at.path,
            directory=None if watched is None else watched.path,
            watch_modify=watched is not None and watched.watch_modify,
            repeats=True,  # to say the same again is to say that it still holds (`endpoint_stale_after`)
        )
        try:
            content = file.read()
        except IsADirectoryError:
            content = b""  # Envoy, too, waits for a file to take its place
        except OSError as error:
            raise PolicyError([PolicyFault(f"{at.path}:1:1", "", f"cannot be read: {error.strerror}")]) from None
        self._use(at.path, what, use, content)
        end = self._files.follow(file, lambda content: self._use(at.path, what, use, content))

        def ended() -> None:
            end()
            self.errors.pop(at.path, None)

        return ended

    def _use(self, path: str, what: str, use: Use, content: bytes) -> None:
        try:
            faults = use(content, path)
        except PolicyError as error:
            self.errors[path] = error
            log.warning("the update of %s is refused, the last one stays in force: %s", what, error)
            return
        if faults:
            self.errors[path] = PolicyError(faults)
            log.warning("the update of %s is taken but for what is wrong: %s", what, self.errors[path])
        else:
            self.errors.pop(path, None)
            log.info("%s: updated from %s", what, path)
