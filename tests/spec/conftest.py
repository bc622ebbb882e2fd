"""Every case of the specification runs blocking, under asyncio and under trio."""

from __future__ import annotations

import pytest

from .harness import MODES, Spec


@pytest.fixture(params=MODES)
def spec(request: pytest.FixtureRequest) -> Spec:
    return Spec(request.param)
