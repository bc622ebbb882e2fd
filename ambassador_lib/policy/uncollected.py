"""Reading without looking for garbage meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the collector of cyclic garbage rest, where it runs.

    Reading a policy makes hundreds of thousands of objects and no garbage among them; looking through all of them
    again and again takes as long as the reading. The first collection afterwards finds what is no longer needed.
    """
    runs = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if runs:
            gc.enable()
