"""Attributes that nobody can change; by itself, since what is compiled has no such classes."""

from __future__ import annotations

from typing import NoReturn


class Kept(dict[str, "str | int"]):
    """Attributes that many spans have in common: as those of any span that has ended, they cannot be changed."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the attributes of a span that has ended are not changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, str | int]], tuple[dict[str, str | int]]]:
        return dict, (self.copy(),)
