"""Values with command operators (`%REQ(x)%`), compiled to functions of the call: header values, bodies, log lines.

What is not set renders empty in headers (semantics 1.6), as a dash in bodies and access logs, as `null` in JSON.
`algorithms/header_format.py` parses, `operators/` finds the values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..algorithms.header_format import Operator, parse
from ..call import Call, Header
from .operators import getter
from .operators.base import Get, Value

if TYPE_CHECKING:
    from ..policy.model.core import SubstitutionFormatString
    from ..runtime.base import Clock

Render = Callable[[Call, int, Sequence[Header]], bytes]
"""Renders for a call; the response's status and headers are `0` and `()` while the request is on its way."""


def compile_value(value: str, clock: Clock) -> bytes | Render:
    """Compile a header value: bytes if it holds no operator, else a function."""
    return _compile(value, clock, unset=b"", log=False)


def compile_text(value: str, clock: Clock, *, omit_empty: bool = False, log: bool = False) -> Render:
    """Compile the text of a body or a log line; `log` as for `parse`."""
    compiled = _compile(value, clock, unset=b"" if omit_empty else b"-", log=log)
    return _constant(compiled) if isinstance(compiled, bytes) else compiled


def _compile(value: str, clock: Clock, *, unset: bytes, log: bool) -> bytes | Render:
    parts = [
        part.encode() if isinstance(part, str) else _operator(part, clock, unset, log=log)
        for part in parse(value, log=log)
    ]
    if all(isinstance(part, bytes) for part in parts):
        return b"".join(part for part in parts if isinstance(part, bytes))
    renders = [_constant(part) if isinstance(part, bytes) else part for part in parts]
    if len(renders) == 1:
        return renders[0]
    return lambda call, status, response: b"".join([render(call, status, response) for render in renders])


def _constant(text: bytes) -> Render:
    return lambda _call, _status, _response: text


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def _operator(operator: Operator, clock: Clock, unset: bytes, *, log: bool) -> Render:
    get, length = getter(operator, clock), operator.length

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        value = get(call, status, response)
        if value is None:
            return unset
        text = value if isinstance(value, bytes) else _text(value)
        return text if length is None else text[:length]

    # A line's end in a header, which no wire would carry, must not begin a line of the log.
    return (lambda call, status, response: render(call, status, response).translate(_ONE_LINE)) if log else render


def _text(value: Value) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    return _json(value)


# --- JSON -------------------------------------------------------------------------------------------------------------

Build = Callable[[Call, int, Sequence[Header]], Any]
_OMITTED = object()


def compile_json(template: Mapping[str, Any], clock: Clock, *, omit_empty: bool = False, log: bool = False) -> Render:
    """Compile a JSON object: its keys sorted, a value that is one operator of the operator's type, then a line end."""
    build = _mapping(template, clock, omit_empty=omit_empty, log=log)

    def render(call: Call, status: int, response: Sequence[Header]) -> bytes:
        built = build(call, status, response)
        return _json({} if built is _OMITTED else built) + b"\n"

    return render


def _node(template: Any, clock: Clock, *, omit_empty: bool, log: bool) -> Build:
    if isinstance(template, Mapping):
        return _mapping(template, clock, omit_empty=omit_empty, log=log)
    if isinstance(template, tuple | list):
        return _list(template, clock, omit_empty=omit_empty, log=log)
    if isinstance(template, str):
        return _leaf(template, clock, omit_empty=omit_empty, log=log)
    number = int(template) if isinstance(template, float) and template.is_integer() else template
    return lambda _call, _status, _response: number


def _list(template: Sequence[Any], clock: Clock, *, omit_empty: bool, log: bool) -> Build:
    items = [_node(item, clock, omit_empty=omit_empty, log=log) for item in template]

    def build(call: Call, status: int, response: Sequence[Header]) -> Any:
        built = [item(call, status, response) for item in items]
        kept = [value for value in built if value is not _OMITTED]
        return kept if kept or not omit_empty else _OMITTED

    return build


def _mapping(template: Mapping[str, Any], clock: Clock, *, omit_empty: bool, log: bool) -> Build:
    items = [(key, _node(template[key], clock, omit_empty=omit_empty, log=log)) for key in sorted(template)]

    def build(call: Call, status: int, response: Sequence[Header]) -> Any:
        built = {key: item(call, status, response) for key, item in items}
        kept = {key: value for key, value in built.items() if value is not _OMITTED}
        return kept if kept or not omit_empty else _OMITTED

    return build


def _leaf(template: str, clock: Clock, *, omit_empty: bool, log: bool) -> Build:
    parts = parse(template, log=log)
    if len(parts) == 1 and isinstance(parts[0], Operator):
        get: Get = getter(parts[0], clock)
        length = parts[0].length
        unset = _OMITTED if omit_empty else None

        def build(call: Call, status: int, response: Sequence[Header]) -> Any:
            value = get(call, status, response)
            if value is None:
                return unset
            return value if not isinstance(value, bytes) else value[:length].decode("utf-8", "backslashreplace")

        return build
    render = compile_text(template, clock, omit_empty=omit_empty, log=log)
    return lambda call, status, response: render(call, status, response).decode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    """Make of a policy's frozen data what JSON is made from."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} in a format")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_plain).encode()


# --- the policy's message ---------------------------------------------------------------------------------------------


def compile_format(
    form: SubstitutionFormatString, read: Callable[[Any], bytes], clock: Clock, *, log: bool = False
) -> Render:
    """Compile a `SubstitutionFormatString`; `read` reads a `DataSource`."""
    omit = form.omit_empty_values
    if form.json_format is not None:
        return compile_json(form.json_format, clock, omit_empty=omit, log=log)
    if form.text_format_source is not None:
        return compile_text(read(form.text_format_source).decode(), clock, omit_empty=omit, log=log)
    return compile_text(form.text_format or "", clock, omit_empty=omit, log=log)
