"""Ways to find a cluster's hosts, one file a way. `start` begins, `Discovery.stop` ends."""

from __future__ import annotations

from .resolver import Answer, NoSuchName, ResolveFailed, Resolver
from .start import Discovery, start

__all__ = ["Answer", "Discovery", "NoSuchName", "ResolveFailed", "Resolver", "start"]
