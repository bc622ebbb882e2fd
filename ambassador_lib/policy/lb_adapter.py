"""`load_balancing_policy`, the newer way to name a load balancer: the policies that `lb_policy` can name, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model.cluster import LeastRequestLbConfig
from .parsed import ParsedMessage, Value

if TYPE_CHECKING:
    from .build import Builder

_EXTENSIONS = "envoy.extensions.load_balancing_policies"
_POLICIES = {
    f"{_EXTENSIONS}.round_robin.v3.RoundRobin": "ROUND_ROBIN",
    f"{_EXTENSIONS}.least_request.v3.LeastRequest": "LEAST_REQUEST",
    f"{_EXTENSIONS}.random.v3.Random": "RANDOM",
}


def load_balancing_policy(builder: Builder, parsed: ParsedMessage, arguments: dict[str, Any]) -> None:
    """Turn the first of the policies into `lb_policy` and its settings; it wins over these, as in Envoy."""
    chosen = parsed.get("load_balancing_policy")
    if chosen is None or chosen.doubtful:
        return
    policies: tuple[Value, ...] = chosen.get("policies") or ()
    for policy in policies[:1]:
        extension = policy.value.get("typed_extension_config") if isinstance(policy.value, ParsedMessage) else None
        config = extension.get("typed_config") if extension is not None else None
        if config is not None and config.doubtful:
            return
        if config is not None and config.name in _POLICIES:
            arguments["lb_policy"] = _POLICIES[config.name]
            if (count := config.get("choice_count")) is not None:
                arguments["least_request_lb_config"] = LeastRequestLbConfig(choice_count=count)
            return
    names = ", ".join(name.lower() for name in _POLICIES.values())
    builder.fault(parsed.where("load_balancing_policy"), "names no load balancer that is supported", f"one of {names}")
