"""Header mutations: the lists of headers to add and remove on each level of a route table, compiled.

Source: `request_headers_to_add` and its three siblings; semantics 1.6 for the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .format import Render, compile_value
from .joined import REQUEST_HEADERS, RESPONSE_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..call import Call, Header
    from ..policy.model.core import HeaderValueOption
    from ..runtime.base import Clock


OWN = frozenset((b"x-envoy-attempt-count", b"x-envoy-original-host", b"x-envoy-original-path"))
"""What layers tell upstreams in headers of these names, each at one place; whoever else brings one is not believed."""


class HeaderMutation:
    """One level: removals first, then additions, whose values are all taken before the first of them is made."""

    __slots__ = ("_add", "_fixed", "_joined", "_remove")

    def __init__(
        self,
        add: Iterable[HeaderValueOption],
        remove: Iterable[str],
        *,
        joined: frozenset[bytes],
        clock: Clock,
    ) -> None:
        self._add = [_Addition(option, clock) for option in add]
        self._remove = frozenset(name.lower().encode() for name in remove)
        self._joined = joined
        self._fixed = _fixed_lines(self._add, joined)

    @property
    def only_adds(self) -> list[Header] | None:
        """The lines that are appended, where these are always the same and nothing else is done."""
        return None if self._remove else self._fixed

    @property
    def only_removes(self) -> frozenset[bytes] | None:
        """The names that are removed (lower case), where nothing is added."""
        return None if self._add else self._remove

    def apply(self, headers: list[Header], call: Call, status: int, response: Sequence[Header]) -> None:
        """Change `headers` in place."""
        if self._remove:
            headers[:] = [header for header in headers if header[0].lower() not in self._remove]
        if self._fixed is not None:
            headers += self._fixed
            return
        replaced: list[Header] = []
        added: list[Header] = []
        for addition in self._add:
            render = addition.render
            value = render(call, status, response) if render is not None else addition.value
            if not value and not addition.keep_empty:
                continue
            value = value.strip(b" \t")  # whoever reads a header from the wire takes white space around it away
            action, name = addition.action, addition.name
            if action == "APPEND_IF_EXISTS_OR_ADD":
                added.append((name, value))
            elif action == "OVERWRITE_IF_EXISTS_OR_ADD":
                replaced.append((name, value))
            elif (action == "OVERWRITE_IF_EXISTS") == any(header[0].lower() == name for header in headers):
                (replaced if action == "OVERWRITE_IF_EXISTS" else added).append((name, value))
        for name, value in replaced:
            set_header(headers, name, value)
        for name, value in added:
            if name in self._joined:
                append_to_header(headers, name, value)
            else:
                headers.append((name, value))


class _Addition:
    """One header to add, its value a constant or rendered for each call."""

    __slots__ = ("action", "keep_empty", "name", "render", "value")

    def __init__(self, option: HeaderValueOption, clock: Clock) -> None:
        self.name = option.header.key.lower().encode()
        compiled = compile_value(option.header.value, clock)
        self.value = compiled if isinstance(compiled, bytes) else b""
        self.render: Render | None = None if isinstance(compiled, bytes) else compiled
        self.keep_empty = option.keep_empty_value
        self.action = option.append_action
        if option.append is not None:  # deprecated, and in force if set
            self.action = "APPEND_IF_EXISTS_OR_ADD" if option.append else "OVERWRITE_IF_EXISTS_OR_ADD"


def _fixed_lines(additions: Sequence[_Addition], joined: frozenset[bytes]) -> list[Header] | None:
    """Return the lines to append where neither the call nor what is there already matters, else `None`."""
    lines: list[Header] = []
    for addition in additions:
        if addition.render is not None or addition.action != "APPEND_IF_EXISTS_OR_ADD" or addition.name in joined:
            return None
        if addition.value or addition.keep_empty:
            lines.append((addition.name, addition.value.strip(b" \t")))
    return lines


def brings_own(*additions: Iterable[HeaderValueOption]) -> bool:
    """Tell whether any of these brings one of `OWN`."""
    return any(option.header.key.lower().encode() in OWN for options in additions for option in options)


def compile_request(
    add: Iterable[HeaderValueOption], remove: Iterable[str], clock: Clock
) -> tuple[HeaderMutation, ...]:
    """Compile one level of request mutations; empty if there is nothing to do."""
    add, remove = tuple(add), tuple(remove)
    return (HeaderMutation(add, remove, joined=REQUEST_HEADERS, clock=clock),) if add or remove else ()


def compile_response(
    add: Iterable[HeaderValueOption], remove: Iterable[str], clock: Clock
) -> tuple[HeaderMutation, ...]:
    """Compile one level of response mutations; empty if there is nothing to do."""
    add, remove = tuple(add), tuple(remove)
    return (HeaderMutation(add, remove, joined=RESPONSE_HEADERS, clock=clock),) if add or remove else ()


def set_header(headers: list[Header], name: bytes, value: bytes) -> None:
    """Leave `value` as the only value of `name`."""
    headers[:] = [header for header in headers if header[0].lower() != name]
    headers.append((name, value))


def set_lower_header(headers: list[Header], name: bytes, value: bytes) -> None:
    """`set_header` for a list whose names are all in lower case, as a call's are."""
    for present, _ in headers:
        if present == name:
            headers[:] = [header for header in headers if header[0] != name]
            break
    headers.append((name, value))


def tell(call: Call, headers: list[Header], name: bytes, value: bytes) -> None:
    """Set one of `OWN` for the first time, in the call's headers or in a try's."""
    if call.is_clean:
        headers.append((name, value))
    else:
        set_lower_header(headers, name, value)


def append_to_header(headers: list[Header], name: bytes, value: bytes) -> None:
    """Join `value` with a comma to the header `name` (to the last line of it), or add it."""
    for index in range(len(headers) - 1, -1, -1):
        key, present = headers[index]
        if key.lower() == name:
            headers[index] = (key, b",".join(filter(None, (present, value))))
            return
    headers.append((name, value))
