"""Every case of the specification runs blocking, under asyncio and under trio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import MODES, Spec


@pytest.fixture(params=MODES)
def spec(request: pytest.FixtureRequest) -> Iterator[Spec]:
    """One case; where it has threads they end with it."""
    spec = Spec(request.param)
    yield spec
    if spec.is_blocking and spec.transport is not None:
        spec.close_transport()
