"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis' deadline is a threshold of time: a busy machine fails it, and nothing else does.
settings.register_profile("ambassador", deadline=None)
settings.load_profile("ambassador")
