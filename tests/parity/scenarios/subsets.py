"""Subsets of endpoints by metadata (semantics 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bootstrap import Document, boot, cluster, endpoint, locality, panic, route, typed
from ..look import hits, see, spread, status
from ..model import Look, Run, Scenario, get, times

PLAIN = dict.fromkeys("abcde", 200)
MEMBERS = [
    endpoint("a", lb={"v": "1", "s": "x"}),
    endpoint("b", lb={"v": "1", "s": "y"}),
    endpoint("c", lb={"v": "2", "s": "x"}),
    endpoint("d"),
]
EACH = 12


def match(**labels: Any) -> Document:
    """The field `metadata_match`."""
    return {"metadata_match": {"filter_metadata": {"envoy.lb": labels}}}


def selector(*keys: str, **fields: Any) -> Document:
    return {"keys": list(keys), **fields}


def who(index: int, expected: str) -> Look:
    """Which hosts served one route's calls, each as often as the others."""

    def seen(run: Run) -> str:
        outcomes = run.outcomes[index * EACH : (index + 1) * EACH]
        names = sorted({outcome.text if outcome.result == 200 else str(outcome.result) for outcome in outcomes})
        return "".join(names)

    return see(f"route {index}", seen, expected)


def subsets(
    name: str,
    about: str,
    routes: Sequence[tuple[Mapping[str, Any] | None, str]],
    config: Mapping[str, Any],
    members: Sequence[Document] = MEMBERS,
    rule: str = "7 subsets",
    **fields: Any,
) -> Scenario:
    """Routes by what they match, each with the hosts that serve it."""
    made = [route("a", f"/{n}/", **({} if labels is None else match(**labels))) for n, (labels, _) in enumerate(routes)]
    return Scenario(
        f"subset_{name}",
        about,
        rule=rule,
        upstreams=PLAIN,
        policy=boot(made, [cluster("a", list(members), lb_subset_config=dict(config), **fields)]),
        calls=[times(EACH, get(f"/{n}/")) for n in range(len(routes))],
        expect=[who(n, served) for n, (_, served) in enumerate(routes)],
    )


NONE, ALL = "503", "abcd"
BY_V = {"subset_selectors": [selector("v")]}
CALM = panic(0)

FALLBACKS = [
    subsets(
        "no_fallback",
        "a route's keys must be those of a selector; without a subset there is no host",
        [({"v": "1"}, "ab"), ({"v": "9"}, NONE), ({"s": "x"}, NONE), ({"v": "1", "s": "x"}, NONE), (None, NONE)],
        BY_V,
    ),
    subsets(
        "several_keys",
        "selectors of one key and of two",
        [({"v": "1", "s": "x"}, "a"), ({"s": "x"}, "ac"), ({"s": "x", "v": "2"}, "c"), ({"v": "1"}, NONE)],
        {"subset_selectors": [selector("s", "v"), selector("s")]},
    ),
    subsets(
        "any_endpoint",
        "ANY_ENDPOINT: a route without a subset has every host",
        [({"v": "1"}, "ab"), ({"v": "9"}, ALL), (None, ALL)],
        {**BY_V, "fallback_policy": "ANY_ENDPOINT"},
    ),
    subsets(
        "default_subset",
        "DEFAULT_SUBSET: a route without a subset has the hosts with these labels",
        [({"v": "1"}, "ab"), ({"v": "9"}, "ac"), (None, "ac")],
        {**BY_V, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"s": "x"}},
    ),
    subsets(
        "default_subset_empty",
        "a default subset without labels is every host",
        [({"v": "9"}, ALL)],
        {**BY_V, "fallback_policy": "DEFAULT_SUBSET"},
    ),
    subsets(
        "selector_fallback",
        "a selector's own fallback beats the cluster's",
        [({"v": "9"}, ALL), ({"s": "9"}, NONE), ({"v": "9", "s": "x"}, "b"), ({"q": "1"}, "b"), ({"s": "x"}, "ac")],
        {
            "fallback_policy": "DEFAULT_SUBSET",
            "default_subset": {"s": "y"},
            "subset_selectors": [
                selector("v", fallback_policy="ANY_ENDPOINT"),
                selector("s", fallback_policy="NO_FALLBACK"),
                selector("v", "s", fallback_policy="DEFAULT_SUBSET"),
            ],
        },
    ),
    subsets(
        "keys_subset",
        "KEYS_SUBSET: the search goes on with fewer keys, and by their selector's fallback",
        [({"v": "1", "s": "9"}, "ab"), ({"v": "9", "s": "9"}, ALL), ({"v": "2", "s": "x"}, "c")],
        {
            "subset_selectors": [
                selector("v", "s", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["v"]),
                selector("v", fallback_policy="ANY_ENDPOINT"),
            ]
        },
    ),
    subsets(
        "without_selectors",
        "without selectors there are no subsets, whatever else is set",
        [({"v": "1"}, ALL), (None, ALL)],
        {"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"v": "2"}},
    ),
    subsets(
        "fallback_list",
        "FALLBACK_LIST: the first of a route's alternatives that has a host",
        [
            ({"fallback_list": [{"v": "9"}, {"v": "2"}]}, "c"),
            ({"fallback_list": [{"v": "9"}]}, NONE),
            ({"s": "y", "fallback_list": [{"v": "9"}, {"v": "1"}]}, "b"),
            ({"v": "2", "fallback_list": [{"v": "1"}]}, "ab"),
        ],
        {
            "metadata_fallback_policy": "FALLBACK_LIST",
            "subset_selectors": [selector("v"), selector("s"), selector("v", "s")],
        },
    ),
]

LABELS = [
    subsets(
        "types",
        "values are equal if their types are: 1, true and their texts are four values",
        [({"v": 1}, "a"), ({"v": True}, "b"), ({"v": "1"}, "c"), ({"v": {"q": 1}}, "d")],
        BY_V,
        [
            endpoint("a", lb={"v": 1}),
            endpoint("b", lb={"v": True}),
            endpoint("c", lb={"v": "1"}),
            endpoint("d", lb={"v": {"q": 1}}),
        ],
    ),
    subsets(
        "list_as_any",
        "list_as_any: a host is in the subset of each value of its list",
        [({"v": "1"}, "a"), ({"v": "2"}, "ab"), ({"v": ["1", "2"]}, NONE)],
        {**BY_V, "list_as_any": True},
        [endpoint("a", lb={"v": ["1", "2"]}), endpoint("b", lb={"v": "2"})],
    ),
    subsets(
        "lists",
        "without list_as_any a list is one value, in its order",
        [({"v": "1"}, NONE), ({"v": ["1", "2"]}, "a"), ({"v": ["2", "1"]}, "c")],
        BY_V,
        [endpoint("a", lb={"v": ["1", "2"]}), endpoint("b", lb={"v": "2"}), endpoint("c", lb={"v": ["2", "1"]})],
    ),
]

HEALTH = [
    subsets(
        "unhealthy",
        "a subset whose hosts are all unhealthy is a subset all the same: no fallback",
        [({"v": "1"}, NONE), ({"v": "9"}, "b")],
        {**BY_V, "fallback_policy": "ANY_ENDPOINT"},
        [endpoint("a", lb={"v": "1"}, health="UNHEALTHY"), endpoint("b", lb={"v": "2"})],
        **CALM,
    ),
    subsets(
        "panic",
        "each subset panics by itself",
        [({"v": "1"}, "ab"), ({"v": "2"}, "cd")],
        BY_V,
        [
            endpoint("a", lb={"v": "1"}, health="UNHEALTHY"),
            endpoint("b", lb={"v": "1"}, health="UNHEALTHY"),
            *(endpoint(name, lb={"v": "2"}) for name in "cd"),
            endpoint("e", lb={"v": "2"}, health="UNHEALTHY"),
        ],
    ),
    subsets(
        "panic_mode_any",
        "panic_mode_any: where the fallback has no host either, any host",
        [({"v": "9"}, "b"), (None, "b"), ({"v": "1"}, NONE)],
        {**BY_V, "panic_mode_any": True, "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"v": "1"}},
        [endpoint("a", lb={"v": "1"}, health="UNHEALTHY"), endpoint("b", lb={"v": "2"})],
        **CALM,
    ),
    subsets(
        "panic_mode_any_alone",
        "panic_mode_any does nothing under NO_FALLBACK",
        [({"v": "9"}, NONE)],
        {**BY_V, "panic_mode_any": True},
    ),
    subsets(
        "single_host",
        "single_host_per_subset: the first host of the value, whatever its health",
        [({"v": "1"}, "a"), ({"v": "2"}, "b"), ({"v": "9"}, NONE)],
        {"subset_selectors": [selector("v", single_host_per_subset=True)]},
        [
            endpoint("a", lb={"v": "1"}),
            endpoint("b", lb={"v": "2"}, health="UNHEALTHY"),
            endpoint("c", lb={"v": "1"}),
        ],
        **CALM,
    ),
]


def _merged(*pairs: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]) -> list[Document]:
    """Routes with a weighted cluster each; both may match."""
    routes = []
    for number, (own, weight) in enumerate(pairs):
        entry = {"name": "a", "weight": 1, **({} if weight is None else match(**weight))}
        action = {"weighted_clusters": {"clusters": [entry]}, **({} if own is None else match(**own))}
        routes.append(route(None, f"/{number}/", **action))
    return routes


MERGING = Scenario(
    "subset_merged",
    "a weighted cluster's metadata_match is merged into the route's, key by key",
    rule="1.6 metadata_match",
    upstreams=PLAIN,
    policy=boot(
        _merged(
            ({"v": "1"}, {"s": "y"}),
            ({"v": "1"}, {"v": "2"}),
            (None, {"v": "2"}),
            ({"v": "1", "s": "x"}, {"s": "y"}),
            ({"v": "2"}, None),
        ),
        [
            cluster(
                "a",
                MEMBERS,
                lb_subset_config={"subset_selectors": [selector("v", "s"), selector("v"), selector("s")]},
            )
        ],
    ),
    calls=[times(EACH, get(f"/{number}/")) for number in range(5)],
    expect=[who(number, served) for number, served in enumerate(("b", "c", "c", "b", "c"))],
)

WITHIN = [
    Scenario(
        "subset_weights",
        "weights count within a subset",
        rule="7 subsets",
        upstreams=PLAIN,
        policy=boot(
            [route(**match(v="1"))],
            [
                cluster(
                    "a",
                    [
                        endpoint("a", weight=3, lb={"v": "1"}),
                        endpoint("b", weight=1, lb={"v": "1"}),
                        endpoint("c", lb={"v": "2"}),
                    ],
                    lb_subset_config=BY_V,
                )
            ],
        ),
        calls=[times(40, get())],
        expect=[hits(a=30, b=10, c=0)],
    ),
    *(
        Scenario(
            f"subset_{name}",
            about,
            rule="7 locality_weight_aware",
            upstreams=PLAIN,
            policy=boot(
                [route(**match(v="1"))],
                [
                    cluster(
                        "a",
                        localities=[
                            locality(
                                endpoint("a", lb={"v": "1"}),
                                *(endpoint(other, lb={"v": "2"}) for other in "bce"),
                                locality={"zone": "z1"},
                                load_balancing_weight=weights[0],
                            ),
                            locality(
                                endpoint("d", lb={"v": "1"}),
                                locality={"zone": "z2"},
                                load_balancing_weight=weights[1],
                            ),
                        ],
                        lb_subset_config={**BY_V, **config},
                        common_lb_config={"locality_weighted_lb_config": {}},
                    )
                ],
            ),
            calls=[times(60, get())],
            expect=[spread(expected)],
        )
        for name, about, weights, config, expected in (
            ("localities", "localities' weights do not count in subsets", (3, 1), {}, {"a": 30, "d": 30}),
            (
                "localities_aware",
                "locality_weight_aware: they do",
                (3, 1),
                {"locality_weight_aware": True},
                {"a": 45, "d": 15},
            ),
            (
                "localities_scaled",
                "scale_locality_weight: by the share of the locality's hosts in the subset, rounded",
                (5, 5),
                {"locality_weight_aware": True, "scale_locality_weight": True},
                {"a": 10, "d": 50},
            ),
            (
                "localities_scaled_to_nothing",
                "a weight that is scaled below a half is none",
                (1, 1),
                {"locality_weight_aware": True, "scale_locality_weight": True},
                {"d": 60},
            ),
        )
    ),
    Scenario(
        "subset_new_style",
        "load_balancing_policy subset, with another policy inside",
        rule="7 load_balancing_policy",
        upstreams=PLAIN,
        policy=boot(
            [route("a", "/1/", **match(v="1")), route("a", "/2/")],
            [
                cluster(
                    "a",
                    MEMBERS,
                    load_balancing_policy={
                        "policies": [
                            {
                                "typed_extension_config": {
                                    "name": "subset",
                                    "typed_config": typed(
                                        "extensions.load_balancing_policies.subset.v3.Subset",
                                        subset_selectors=[selector("v")],
                                        fallback_policy="DEFAULT_SUBSET",
                                        default_subset={"v": "2"},
                                        subset_lb_policy={
                                            "policies": [
                                                {
                                                    "typed_extension_config": {
                                                        "name": "turns",
                                                        "typed_config": typed(
                                                            "extensions.load_balancing_policies.round_robin.v3.RoundRobin"
                                                        ),
                                                    }
                                                }
                                            ]
                                        },
                                    ),
                                }
                            }
                        ]
                    },
                )
            ],
        ),
        calls=[times(EACH, get("/1/")), times(EACH, get("/2/"))],
        expect=[status(*[200] * 24), hits(a=6, b=6, c=12, d=0)],
    ),
]

SCENARIOS = [*FALLBACKS, *LABELS, *HEALTH, MERGING, *WITHIN]
