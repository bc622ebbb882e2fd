"""Envoy's checks of access logs, of local replies and of the formats that both have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import sources
from .check_formats import check_format, check_json, check_text, readable
from .check_routes import check_added, check_regexes
from .findings import Findings
from .model.access_log import AccessLogFilter, FileAccessLog, LocalReplyConfig, StderrAccessLog, StdoutAccessLog
from .model.listener import HttpConnectionManager


def check_logs(findings: Findings, manager: HttpConnectionManager) -> None:
    """Check what a connection manager logs and answers."""
    for log in manager.access_log:
        if isinstance(log.typed_config, FileAccessLog):
            _check_file(findings, log.typed_config)
        elif isinstance(log.typed_config, StdoutAccessLog | StderrAccessLog) and log.typed_config.log_format:
            check_format(findings, log.typed_config.log_format, log=True)
        check_regexes(findings, log.filter)
    if manager.local_reply_config is not None:
        _check_replies(findings, manager.local_reply_config)


def _check_replies(findings: Findings, config: LocalReplyConfig) -> None:
    for mapper in config.mappers:
        check_added(findings, mapper.headers_to_add)
        check_regexes(findings, mapper.filter)
        readable(findings, mapper.body)
        if mapper.body_format_override is not None:
            check_format(findings, mapper.body_format_override)
    if config.body_format is not None:
        check_format(findings, config.body_format)


def _check_file(findings: Findings, log: FileAccessLog) -> None:
    if not Path(log.path).parent.is_dir() and not sources.is_lenient:
        findings.fault(log, "path", f"{log.path} cannot be opened: there is no such directory")
    if log.format is not None:
        check_text(findings, log, "format", log.format, log=True)
    for field in ("json_format", "typed_json_format"):
        if (template := getattr(log, field)) is not None:
            check_json(findings, log, field, template, log=True)
    if log.log_format is not None:
        check_format(findings, log.log_format, log=True)


def log_runtime_keys(manager: HttpConnectionManager) -> Iterator[str]:
    """Yield the runtime keys that filters of logs and local replies read."""
    mappers = manager.local_reply_config.mappers if manager.local_reply_config is not None else ()
    for model in (*(log.filter for log in manager.access_log), *(mapper.filter for mapper in mappers)):
        if model is not None:
            yield from _filter_keys(model)


def _filter_keys(model: AccessLogFilter) -> Iterator[str]:
    for compared in (model.status_code_filter, model.duration_filter):
        if compared is not None:
            yield compared.comparison.value.runtime_key
    if model.runtime_filter is not None:
        yield model.runtime_filter.runtime_key
    for several in (model.and_filter, model.or_filter):
        for one in several.filters if several is not None else ():
            yield from _filter_keys(one)
