"""Packages that are installed and shall not be found."""

from __future__ import annotations

import importlib
import sys

import pytest

from benchmarks.load.absence import remove


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_a_package_that_is_removed_is_missing_as_any_other() -> None:
    """Imports fail again and again, of what was there already and below it too, with the error of a missing package."""
    importlib.import_module("wave")
    remove({"wave", "json", "email.mime"})
    for name in ("wave", "wave", "json.decoder", "email.mime.text"):
        with pytest.raises(ModuleNotFoundError) as missing:
            importlib.import_module(name)
        assert missing.value.name in {name, "json", "email.mime"}
    assert importlib.import_module("email.policy").__name__ == "email.policy"


def test_others_are_found() -> None:
    """Nothing else is touched, and removing nothing changes nothing."""
    before = list(sys.meta_path)
    remove(())
    assert sys.meta_path == before
    remove({"wave"})
    assert importlib.import_module("colorsys").__name__ == "colorsys"
