"""Which load balancer is chosen, and what RANDOM and LEAST_REQUEST look at (semantics 7)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, endpoint, typed
from ..expect import Between, OneOf
from ..look import hits, order, see, status
from ..model import Run, Scenario, get, times, together
from ..upstreams.replies import Reply

QUICK_AND_SLOW = {"/slow": Reply(delay=1.5), "*": 200}


def policies(*configs: Any) -> dict[str, Any]:
    """The field `load_balancing_policy`."""
    return {
        "load_balancing_policy": {
            "policies": [
                {"typed_extension_config": {"name": f"p{n}", "typed_config": c}} for n, c in enumerate(configs)
            ]
        }
    }


def least(run: Run) -> int:
    return min(len(run.at(name).requests) for name in run.upstreams)


SCENARIOS = [
    Scenario(
        "random_ignores_weights",
        "RANDOM is uniform, whatever endpoints weigh",
        rule="7 RANDOM",
        upstreams=dict.fromkeys("abc", 200),
        policy=boot(
            clusters=[
                cluster(
                    "a", [endpoint(n, weight=w) for n, w in zip("abc", (1, 2, 30), strict=True)], lb_policy="RANDOM"
                )
            ]
        ),
        calls=[times(240, get())],
        expect=[hits(a=Between(50, 110), b=Between(50, 110), c=Between(50, 110))],
    ),
    Scenario(
        "least_request_avoids_the_busy",
        "LEAST_REQUEST takes the least busy of choice_count hosts, those that are waited for counted",
        rule="7 LEAST_REQUEST",
        upstreams={"a": QUICK_AND_SLOW, "b": QUICK_AND_SLOW},
        policy=boot(
            clusters=[cluster("a", ["a", "b"], lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 30})]
        ),
        calls=[together(get("/slow"), times(8, get()), stagger=0.4)],
        expect=[see("least", least, 1), status(*[200] * 9)],
    ),
    Scenario(
        "lb_policy_first_of_several",
        "load_balancing_policy: the first of its policies counts, in place of lb_policy",
        rule="7 load_balancing_policy",
        upstreams=dict.fromkeys("ab", 200),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    lb_policy="RING_HASH",
                    **policies(
                        typed("extensions.load_balancing_policies.round_robin.v3.RoundRobin"),
                        typed("extensions.load_balancing_policies.random.v3.Random"),
                    ),
                )
            ]
        ),
        calls=[times(12, get())],
        expect=[order(OneOf("ab" * 6, "ba" * 6))],
    ),
]
