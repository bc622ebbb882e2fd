"""What a policy's author should know although the policy can be used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyWarning:
    """Something in a policy that has no effect here, or one that is easily overlooked."""

    location: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.location, self.path, self.message) if part)
