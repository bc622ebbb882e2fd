"""Access logs: one line for each call that has ended, in Envoy's formats (semantics 11.3).

Source: `HttpConnectionManager.access_log`.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..policy.model.access_log import AccessLog, FileAccessLog, StderrAccessLog, StdoutAccessLog
from ..routing.format import Render, compile_format, compile_json, compile_text
from ..routing.respond import read
from ..runtime.log_writer import LogFile, abandon_log, close_log, open_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..call import Call, Header
    from ..routing.log_filters import LogCondition, LogFilters
    from ..runtime.base import Clock

DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)
_log = logging.getLogger("ambassador_lib.access_log")


class AccessLogs:
    """The logs of one connection manager; their files are let go with the last call or listener that logs to them."""

    def __init__(self, models: Iterable[AccessLog], filters: LogFilters, clock: Clock) -> None:
        self._entries = [_Entry(model, filters, clock) for model in models if model.typed_config is not None]
        self._complained = False
        self._ends = [weakref.finalize(self, abandon_log, entry.file) for entry in self._entries]
        for end in self._ends:
            end.atexit = False

    def __bool__(self) -> bool:
        return bool(self._entries)

    def write(self, call: Call, headers: Sequence[Header]) -> None:
        """Log a call that has ended, `call.code` being its status; a failure to do so is told once and costs a line."""
        status = call.code or 0
        for entry in self._entries:
            try:
                if entry.condition is None or entry.condition(call, status, headers):
                    entry.file.write(entry.render(call, status, headers))
            except Exception:  # noqa: BLE001 - whatever is wrong with a line, the call has ended well
                if not self._complained:
                    self._complained = True
                    _log.warning("an access log could not be written", exc_info=True)

    def close(self) -> None:
        """Write what waits, and let go of the files; safe to repeat."""
        entries, self._entries = self._entries, []
        ends, self._ends = self._ends, []
        for entry, end in zip(entries, ends, strict=True):
            end.detach()
            close_log(entry.file)


class _Entry:
    """One log: what is logged, how and where."""

    def __init__(self, model: AccessLog, filters: LogFilters, clock: Clock) -> None:
        self.condition: LogCondition | None = None if model.filter is None else filters.compile(model.filter)
        self.render = _render(model.typed_config, clock)
        self.file: LogFile = open_log(_path(model.typed_config))


def _path(config: FileAccessLog | StdoutAccessLog | StderrAccessLog) -> str:
    if isinstance(config, FileAccessLog):
        return config.path
    return "/dev/stdout" if isinstance(config, StdoutAccessLog) else "/dev/stderr"


def _render(config: FileAccessLog | StdoutAccessLog | StderrAccessLog, clock: Clock) -> Render:
    if config.log_format is not None:
        return compile_format(config.log_format, read, clock, log=True)
    if isinstance(config, FileAccessLog):
        template = config.typed_json_format if config.json_format is None else config.json_format
        if template is not None:
            return compile_json(template, clock, log=True)
        if config.format:
            return compile_text(config.format, clock, log=True)
    return compile_text(DEFAULT_FORMAT, clock, log=True)
