"""Envoy's checks of formats: text or JSON with command operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..algorithms import header_format
from .findings import Findings
from .model.core import DataSource, SubstitutionFormatString
from .sources import SourceError, read_source


def check_format(findings: Findings, form: SubstitutionFormatString, *, log: bool = False) -> None:
    """Check the command operators of a format; a log shows as unset what nobody here can tell, and is warned of."""
    if form.text_format is not None:
        check_text(findings, form, "text_format", form.text_format, log=log)
    if form.json_format is not None:
        check_json(findings, form, "json_format", form.json_format, log=log)
    if form.text_format_source is not None:
        text = readable(findings, form.text_format_source)
        if text is not None:
            check_text(findings, form, "text_format_source", text.decode("utf-8", "replace"), log=log)


def readable(findings: Findings, source: DataSource | None) -> bytes | None:
    """Return what a source holds; where it cannot be read, note it."""
    if source is None:
        return None
    try:
        return read_source(source)
    except SourceError as error:
        findings.fault(source, error.field, error.message)
        return None


def check_json(findings: Findings, owner: object, field: str, template: Any, *, log: bool) -> None:
    """Check all texts of a JSON object."""
    if isinstance(template, str):
        check_text(findings, owner, field, template, log=log)
    elif isinstance(template, Mapping):
        for item in template.values():
            check_json(findings, owner, field, item, log=log)
    elif isinstance(template, tuple | list):
        for item in template:
            check_json(findings, owner, field, item, log=log)


def check_text(findings: Findings, owner: object, field: str, text: str, *, log: bool) -> None:
    """Check a text of a field."""
    try:
        parts = header_format.parse(text, log=log)
    except ValueError as error:
        findings.fault(owner, field, str(error))
        return
    for part in parts:
        if not isinstance(part, str) and part.name in header_format.UNKNOWN:
            findings.warn(owner, field, f"always unset: {part.name} is what nobody here can tell")
