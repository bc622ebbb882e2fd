"""Scriptable upstreams on the loopback: what they answer (`replies`), what they saw (`records`), and the servers."""
