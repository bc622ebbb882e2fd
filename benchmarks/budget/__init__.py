"""The planning figures of the field, computed from what was measured: latency of a fan-out, a fleet, a breaker."""
