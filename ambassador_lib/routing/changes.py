"""Changes of headers that are made one after the other, as they stand (`mutation_rules.v3.HeaderMutation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .mutations import HeaderMutation
from .value_match import compile_string

if TYPE_CHECKING:
    from ..call import Call, Header
    from ..policy.model.core import HeaderChange
    from ..runtime.base import Clock

Change = Callable[[list["Header"], "Call", int], None]
"""One change of headers, in place; the response's status is 0 on the way down."""

CompileLevel = Callable[..., tuple[HeaderMutation, ...]]


def compile_change(
    mutation: HeaderChange,
    clock: Clock,
    compile_level: CompileLevel,
) -> Change:
    """Make one change ready; `compile_level` tells requests and responses apart."""
    if mutation.remove_on_match is not None:
        matches = compile_string(mutation.remove_on_match.key_matcher)
        return lambda headers, _call, _status: _keep(headers, lambda name: not matches(name))
    if mutation.append is None:
        removed = (mutation.remove or "").lower().encode()
        return lambda headers, _call, _status: _keep(headers, lambda name: name != removed)
    (addition,) = compile_level((mutation.append,), (), clock)

    def add(headers: list[Header], call: Call, status: int) -> None:
        addition.apply(headers, call, status, headers if status else ())

    return add


def _keep(headers: list[Header], wanted: Callable[[bytes], bool]) -> None:
    headers[:] = [header for header in headers if wanted(header[0].lower())]
