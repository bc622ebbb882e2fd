"""HTTP filters: what may stand in `http_filters` and `typed_per_filter_config`, one file a filter.

A filter comes in with a file here and one line in each of the two tables below (its behaviour: `filters/registry.py`;
what Envoy checks beyond its schema: `policy/check_filters.py`).
"""

from __future__ import annotations

from .fault import FaultAbort, FaultDelay, FaultRateLimit, HTTPFault

__all__ = ["HTTP_FILTERS", "PER_ROUTE", "FaultAbort", "FaultDelay", "FaultRateLimit", "HTTPFault"]

PER_ROUTE: dict[type, type] = {HTTPFault: HTTPFault}
"""By a filter's configuration, what a route, virtual host, weighted cluster or route table may set for it."""

HTTP_FILTERS: tuple[type, ...] = (HTTPFault,)
"""Configurations of the filters that may stand before the router."""
