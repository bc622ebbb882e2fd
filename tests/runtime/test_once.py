"""`Once`: one thing for all threads, made when it is first needed."""

from __future__ import annotations

import threading

from ambassador_lib.runtime.once import Once


def test_nothing_is_made_before_it_is_needed() -> None:
    """Asking what was made makes nothing; getting it twice makes it once."""
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    once = Once(make)
    assert once.made is None
    assert once.get() is once.get() is once.made
    assert len(made) == 1


def test_threads_that_make_it_together_keep_one() -> None:
    """Everybody gets the same one, and what came second is dropped."""
    together = threading.Barrier(2, timeout=10)
    dropped: list[object] = []
    got: list[object] = []

    def make() -> object:
        together.wait()  # both are making one now
        return object()

    once = Once(make, drop=dropped.append)
    threads = [threading.Thread(target=lambda: got.append(once.get())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == [once.made, once.made]
    assert len(dropped) == 1
    assert dropped[0] is not once.made
