"""Has anybody changed one of several classes? CPython knows, and answers with one flag instead of forty look-ups.

It keeps what it has looked up in a class until the class or one of its bases changes, and whether it may still use that
is one of the class's flags: up to Python 3.12, where Python code can see it.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

_VALID = 1 << 19
"""`Py_TPFLAGS_VALID_VERSION_TAG`: set when something is looked up in a class, cleared when it or a base changes."""

_flags_of: Callable[[type], int] = type.__dict__["__flags__"].__get__
_base_of: Callable[[type], type] = type.__dict__["__base__"].__get__


class _Unseen(type):
    """The class of classes in which nobody looks anything up by mistake, which would set the flag: bases answer."""

    def __getattribute__(cls, name: str) -> object:
        return getattr(_base_of(cls), name)


class Untouched:
    """Tells whether a class and others are still as they were when `is_as_written` last said yes of them.

    Where the interpreter does not show such a flag, it never says so.
    """

    def __init__(self, kind: type, beside: tuple[type, ...], is_as_written: Callable[[], bool]) -> None:
        """`kind` is given this object as `_untouched`; all the classes are to fit as bases of one."""
        self._kind = kind
        self._is_as_written = is_as_written
        self._found = False
        self._looking = Lock()
        self._witness = _Unseen("Witness", (kind, *beside), {})
        self._set_flag()
        was_set = _flags_of(self._witness) & _VALID
        kind._untouched = self  # type: ignore[attr-defined]  # a change as any other
        self._has_flag = bool(was_set and not _flags_of(self._witness) & _VALID)

    def holds(self, asked: type) -> bool:
        """Tell it of `asked`: of the classes derived from it, only the class itself is known."""
        if asked is not self._kind:
            return False
        # With the flag nothing has changed since the last look, whatever that has found.
        return self._found if _flags_of(self._witness) & _VALID else self._has_flag and self._look_again()

    def _look_again(self) -> bool:
        # A change that comes meanwhile clears the flag again. Until a look has ended, all are told no, as are all in a
        # process that was forked meanwhile.
        if not self._looking.acquire(blocking=False):
            return False
        try:
            self._found = False
            self._set_flag()
            self._found = found = self._is_as_written()
            return found
        finally:
            self._looking.release()

    def _set_flag(self) -> None:
        type.__getattribute__(self._witness, "__init__")
