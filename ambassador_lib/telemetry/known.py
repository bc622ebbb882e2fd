"""Whether a function of OpenTelemetry's SDK is known to do no more than was looked at.

It is when it uses no name that the versions 1.26 to 1.45 did not use there: a later version that does more, or
somebody's function in its place, is not.
"""

from __future__ import annotations

from types import FunctionType


def is_known(owner: type, name: str, names: str) -> bool:
    """Whether a class's method is its own, and uses none but these names, which spaces part."""
    function = getattr(owner, name, None)
    if type(function) is not FunctionType:
        return False
    code = function.__code__
    is_own = code.co_qualname == f"{owner.__qualname__}.{name}"  # what wraps it was written elsewhere
    return is_own and not set(code.co_names).difference(names.split())
