"""What is called in a forked child: all that are alive, those without weak references by their anchors."""

from __future__ import annotations

import gc
import os

import pytest

from ambassador_lib.runtime.afresh import Anchor


class Anchored:
    """One that nothing refers to weakly."""

    __slots__ = ("_anchor", "begun", "itself")

    def __init__(self, begun: list[str]) -> None:
        self.begun = begun
        self.itself = self
        self._anchor = Anchor(self.start_afresh)

    def start_afresh(self) -> None:
        self.begun.append("afresh")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("lives", [True, False])
def test_an_anchor_lasts_as_long_as_who_keeps_it(lives: bool) -> None:
    """In the child the one that is alive starts afresh, once; who is gone is not kept for it."""
    begun: list[str] = []
    kept = [Anchored(begun)]
    if not lives:
        kept.clear()
        gc.collect()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(len(begun))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == int(lives)
    assert begun == []
