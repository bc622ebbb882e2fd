"""httpx's own tests, with httpx's clients and with ours in their place."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import httpx
import pytest

from . import httpx_suite


def skip_loudly(reason: str) -> None:
    """Skip, so that nobody overlooks it; where `CI` is set, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn(f"NOT CHECKED against httpx's own test suite: {reason}", stacklevel=2)
    pytest.skip(reason)


@pytest.fixture
def suite(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """httpx's test suite of the installed version, unpacked."""
    cache = getattr(pytestconfig, "cache", None)
    try:
        archive = httpx_suite.fetch(httpx.__version__, cache.mkdir("httpx") if cache else tmp_path)
    except httpx_suite.UnreachableError as error:
        skip_loudly(f"the package registry cannot be reached: {error}")
    if not httpx_suite.wait_for_port():
        skip_loudly(f"port {httpx_suite.PORT}, which httpx's tests need, is taken")
    return httpx_suite.unpack(archive, tmp_path)


@pytest.mark.slow
def test_httpx_own_suite_fails_nowhere_that_stock_httpx_does_not(suite: Path) -> None:
    """With our classes in place of httpx's, no test of httpx's fails that does not fail with httpx's own."""
    stock = httpx_suite.run(suite, swapped=False)
    ours = httpx_suite.run(suite, swapped=True)

    assert ours.failed <= stock.failed, f"{sorted(ours.failed - stock.failed)}\n{ours.output}"
    assert ours.ran == stock.ran
    # ... and the comparison means something: (nearly) all tests ran and passed, and their requests went through us.
    functions = httpx_suite.count_test_functions(suite)
    assert len(stock.passed) >= functions > 0, stock.output
    assert len(ours.passed) >= len(stock.passed), ours.output
    assert ours.sent >= 0.9 * stock.sent > 0
