"""The fields of `load_balancing_policy`: the rules of the older fields hold for the newer ones (semantics 6, 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bootstrap import (
    EDS,
    Document,
    boot,
    cluster,
    discovery,
    eds_cluster,
    endpoint,
    load_assignment,
    locality,
    panic,
    route,
)
from ..expect import Between, Where
from ..look import hits, order, see, spread, status
from ..model import Scenario, Until, get, pause, times, together, write
from ..upstreams.replies import Reply
from .hashing import BY_KEY, EVERYBODY, LOCALITIES, NAMES, UNEQUAL, by_key, placed, policy_of
from .subsets import EACH, MEMBERS, NONE, match, selector, who
from .zones import MANAGER, NODE, UPSTREAMS, us, zone

BY_LOCALITY: Mapping[str, Any] = {"locality_weighted_lb_config": {}}
BY_NAME = [endpoint(name, hostname=f"{name}.test") for name in "abc"]
HOSTNAMES = "aaaabaabbcbbcacabaccbbababcaaabccbacbaacacbabbabcacbabaacbcabbccabbbcbcababababccbcbbcbacabbbaacbabb"
RING, MAGLEV, LEAST = "ring_hash.v3.RingHash", "maglev.v3.Maglev", "least_request.v3.LeastRequest"
TURNS = "round_robin.v3.RoundRobin"
CONSISTENT = "consistent_hashing_lb_config"

PLACES = [
    placed(
        "new_ring_murmur",
        "ring_hash: hash_function",
        "beecdeadbbaabeedeaaceedcdebadddbaaeacaecadddcecdcadeabbbbbddcbcadeccaeabceaddecaaabccaaeddbaeeacbede",
        cluster("a", EVERYBODY, **policy_of(RING, hash_function="MURMUR_HASH_2")),
    ),
    placed(
        "new_ring_small",
        "ring_hash: minimum_ring_size and maximum_ring_size",
        "babcbbbbbbbbbbbbbbcbbbaababbbbbbbababbbbbbbabbbbbabbcbbbbbbbbbbbbbbbabbabbbbbbbbbbbababbabbabbbbabbb",
        cluster("a", UNEQUAL, **policy_of(RING, minimum_ring_size=7, maximum_ring_size=40)),
    ),
    placed(
        "new_ring_at_most",
        "ring_hash: maximum_ring_size, a ring of two has no place for the third of three hosts",
        "babbbbabbbbbbbbabbbbbbaabababbbabbbabbaabbbbbabbbababbbbbbabbbbbbbbbaabbbbbbbabbabbababbbabbabbaaabb",
        cluster("a", EVERYBODY[:3], **policy_of(RING, minimum_ring_size=1, maximum_ring_size=2)),
    ),
    placed(
        "new_ring_hostname",
        "consistent_hashing_lb_config: use_hostname_for_hashing",
        HOSTNAMES,
        cluster("a", BY_NAME, kind="STRICT_DNS", **policy_of(RING, **{CONSISTENT: {"use_hostname_for_hashing": True}})),
    ),
    placed(
        "new_ring_hostname_older",
        "ring_hash: use_hostname_for_hashing, its older place",
        HOSTNAMES,
        cluster("a", BY_NAME, kind="STRICT_DNS", **policy_of(RING, use_hostname_for_hashing=True)),
    ),
    placed(
        "new_ring_localities",
        "ring_hash: locality_weighted_lb_config",
        "acccbcccbcccbcbcbcacacccccccccccaacccbccccaacccbcacbacacccbcccbcbccbccbccccacccccbcccccccbbbcccccbbc",
        cluster("a", localities=LOCALITIES, **policy_of(RING, **BY_LOCALITY)),
    ),
    placed(
        "new_maglev_localities",
        "maglev: locality_weighted_lb_config",
        "ccccccccbccaacbbccccccbcaacccccccccccaacbaccccccbacccbcbccabcccbaccacaccccacccccbcaccccbbcccbccbbccb",
        cluster("a", localities=LOCALITIES, **policy_of(MAGLEV, **BY_LOCALITY)),
    ),
]


def _bounded(name: str, expected: str, kind: str, **fields: Any) -> Scenario:
    return Scenario(
        f"hash_new_{name}",
        f"{name.replace('_', ' ')}: a host that has more than its share passes requests on",
        rule="7 bounded load",
        upstreams=dict.fromkeys(NAMES, Reply(delay=1.5)),
        policy=boot([route(hash_policy=BY_KEY)], [cluster("a", EVERYBODY, **policy_of(kind, **fields))]),
        calls=[together(*by_key(["key-1"] * 12), stagger=0.06)],
        expect=[order(expected)],
    )


BOUNDED = [
    _bounded("ring_balance_factor", "eeddedaaedaa", RING, **{CONSISTENT: {"hash_balance_factor": 120}}),
    _bounded("ring_balance_factor_older", "eeddedaaedaa", RING, hash_balance_factor=120),
    _bounded("maglev_balance_factor", "aaeeaeddaedd", MAGLEV, **{CONSISTENT: {"hash_balance_factor": 120}}),
]

# --- subsets ----------------------------------------------------------------------------------------------------------


def _subsets(
    name: str,
    about: str,
    routes: Sequence[tuple[Mapping[str, Any] | None, str]],
    members: Sequence[Document] = MEMBERS,
    more: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Scenario:
    """Routes by what they match, each with the hosts that serve it."""
    made = [route("a", f"/{n}/", **({} if labels is None else match(**labels))) for n, (labels, _) in enumerate(routes)]
    config = policy_of("subset.v3.Subset", subset_lb_policy=policy_of(TURNS)["load_balancing_policy"], **fields)
    return Scenario(
        f"subset_new_{name}",
        about,
        rule="7 subsets",
        upstreams=dict.fromkeys("abcde", 200),
        policy=boot(made, [cluster("a", list(members), **config, **(more or {}))]),
        calls=[times(EACH, get(f"/{n}/")) for n in range(len(routes))],
        expect=[who(n, served) for n, (_, served) in enumerate(routes)],
    )


def _aware(name: str, weights: Sequence[int], expected: Mapping[str, int], **fields: Any) -> Scenario:
    """Two localities: in the first one of four hosts is of the subset, in the second all."""
    localities = [
        locality(
            endpoint("a", lb={"v": "1"}),
            *(endpoint(other, lb={"v": "2"}) for other in "bce"),
            locality={"zone": "z1"},
            load_balancing_weight=weights[0],
        ),
        locality(endpoint("d", lb={"v": "1"}), locality={"zone": "z2"}, load_balancing_weight=weights[1]),
    ]
    inside = policy_of(TURNS, locality_lb_config=BY_LOCALITY)["load_balancing_policy"]
    config = policy_of("subset.v3.Subset", subset_selectors=[selector("v")], subset_lb_policy=inside, **fields)
    return Scenario(
        f"subset_new_{name}",
        f"subset: {name}",
        rule="7 locality_weight_aware",
        upstreams=dict.fromkeys("abcde", 200),
        policy=boot([route(**match(v="1"))], [cluster("a", localities=localities, **config)]),
        calls=[times(60, get())],
        expect=[spread(expected)],
    )


SUBSETS = [
    _subsets(
        "fallbacks",
        "subset: a selector's fallback_policy and fallback_keys_subset",
        [({"v": "1", "s": "9"}, "ab"), ({"v": "9", "s": "9"}, "abcd"), ({"v": "2", "s": "x"}, "c")],
        subset_selectors=[
            selector("v", "s", fallback_policy="KEYS_SUBSET", fallback_keys_subset=["v"]),
            selector("v", fallback_policy="ANY_ENDPOINT"),
        ],
    ),
    _subsets(
        "fallback_list",
        "subset: metadata_fallback_policy",
        [({"fallback_list": [{"v": "9"}, {"v": "2"}]}, "c"), ({"fallback_list": [{"v": "9"}]}, NONE)],
        metadata_fallback_policy="FALLBACK_LIST",
        subset_selectors=[selector("v")],
    ),
    _subsets(
        "list_as_any",
        "subset: list_as_any",
        [({"v": "1"}, "a"), ({"v": "2"}, "ab"), ({"v": ["1", "2"]}, NONE)],
        [endpoint("a", lb={"v": ["1", "2"]}), endpoint("b", lb={"v": "2"})],
        list_as_any=True,
        subset_selectors=[selector("v")],
    ),
    _subsets(
        "panic_mode_any",
        "subset: panic_mode_any",
        [({"v": "9"}, "b"), (None, "b"), ({"v": "1"}, NONE)],
        [endpoint("a", lb={"v": "1"}, health="UNHEALTHY"), endpoint("b", lb={"v": "2"})],
        panic(0),
        panic_mode_any=True,
        fallback_policy="DEFAULT_SUBSET",
        default_subset={"v": "1"},
        subset_selectors=[selector("v")],
    ),
    _subsets(
        "single_host",
        "subset: single_host_per_subset",
        [({"v": "1"}, "a"), ({"v": "2"}, "b"), ({"v": "9"}, NONE)],
        [endpoint("a", lb={"v": "1"}), endpoint("b", lb={"v": "2"}), endpoint("c", lb={"v": "1"})],
        subset_selectors=[selector("v", single_host_per_subset=True)],
    ),
    _aware("locality_weight_aware", (3, 1), {"a": 45, "d": 15}, locality_weight_aware=True),
    _aware("scale_locality_weight", (5, 5), {"a": 10, "d": 50}, locality_weight_aware=True, scale_locality_weight=True),
]

# --- requests in flight -----------------------------------------------------------------------------------------------


def _idle_first(name: str, about: str, **fields: Any) -> Scenario:
    """Five at a time go to five hosts, three times: two hosts chosen by chance would do that once in 150."""
    return Scenario(
        f"least_request_new_{name}",
        about,
        rule="7 least_request",
        upstreams=dict.fromkeys(NAMES, Reply(delay=0.4)),
        policy=boot(clusters=[cluster("a", list(NAMES), **policy_of(LEAST, **fields))]),
        calls=[times(3, together(get(), count=5, stagger=0.03))],
        expect=[status(*[200] * 15), hits(a=3, b=3, c=3, d=3, e=3)],
    )


LOADED = [
    _idle_first("choice_count", "least_request: the best of choice_count hosts", choice_count=500),
    Scenario(
        "least_request_new_enable_full_scan",
        "least_request: enable_full_scan does nothing any more, two hosts are drawn and busy ones taken",
        rule="7 selection_method",
        upstreams=dict.fromkeys(NAMES, Reply(delay=0.25)),
        policy=boot(clusters=[cluster("a", list(NAMES), **policy_of(LEAST, enable_full_scan=True))]),
        # A round has five different hosts once in five times by chance; six in a row once in 20 000.
        calls=[times(6, together(get(), count=5, stagger=0.02))],
        expect=[
            see(
                "different hosts by round",
                lambda run: [len({one.text for one in run.outcomes[n : n + 5]}) for n in range(0, 30, 5)],
                Where(lambda found: min(found) < 5, "not always the idle ones"),
            )
        ],
    ),
    Scenario(
        "least_request_new_bias",
        "least_request: active_request_bias 0, weights alone count",
        rule="7 active_request_bias",
        upstreams={"a": Reply(delay=0.5), "b": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    [endpoint("a", weight=3), endpoint("b", weight=1)],
                    **policy_of(LEAST, active_request_bias={"default_value": 0, "runtime_key": "bias"}),
                )
            ]
        ),
        calls=[together(get(), count=16, stagger=0.01)],
        expect=[hits(a=12, b=4)],
    ),
    Scenario(
        "least_request_new_localities",
        "least_request: locality_lb_config",
        rule="7 locality_lb_config",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    localities=[
                        locality("a", locality={"zone": "1"}, load_balancing_weight=3),
                        locality("b", locality={"zone": "2"}, load_balancing_weight=1),
                    ],
                    **policy_of(LEAST, locality_lb_config=BY_LOCALITY),
                )
            ]
        ),
        calls=[times(40, get())],
        expect=[spread({"a": 30, "b": 10})],
    ),
]

# --- newcomers --------------------------------------------------------------------------------------------------------


def newcomer(name: str, about: str, low: int, high: int, **config: Any) -> Scenario:
    """What a newcomer gets of 24 calls that follow its first at once, under a cluster of such fields."""
    return Scenario(
        f"slow_start_{name}",
        about,
        rule="6.6 slow start",
        upstreams={"a": 200, "b": 200},
        policy=boot(clusters=[eds_cluster(**config)]),
        files={"eds.yaml": discovery(EDS, load_assignment("a", ["a"]))},
        calls=[
            pause(3.1),
            write("eds.yaml", discovery(EDS, load_assignment("a", ["a", "b"]))),
            Until(get(), lambda outcome: outcome.text == "b"),
            times(24, get()),
        ],
        expect=[spread({"a": Between(24 - high, 24 - low), "b": Between(low, high)}, -24)],
    )


def _newcomer(name: str, about: str, kind: str, low: int, high: int, **fields: Any) -> Scenario:
    config = policy_of(kind, slow_start_config={"slow_start_window": "3s", **fields})
    return newcomer(f"new_{name}", about, low, high, **config)


NEWCOMERS = [
    _newcomer("round_robin", "round_robin: slow_start_window", TURNS, 1, 6),
    _newcomer("least_request", "least_request: slow_start_config", LEAST, 1, 6),
    _newcomer("aggression", "aggression: with ten the newcomer soon has nearly all of its weight", TURNS, 8, 13,
              aggression={"default_value": 10, "runtime_key": "x"}),
    _newcomer("min_weight_percent", "min_weight_percent: what a newcomer has at least", TURNS, 8, 13,
              min_weight_percent={"value": 80}),
]  # fmt: skip

# --- zones ------------------------------------------------------------------------------------------------------------

ZONES = [zone(1, "a", "b"), zone(2, "c", "d", "e", "f")]


def _zoned(name: str, about: str, expected: Mapping[str, Any], **fields: Any) -> Scenario:
    config = policy_of(TURNS, locality_lb_config={"zone_aware_lb_config": fields})
    return Scenario(
        f"zone_new_{name}",
        about,
        rule="6.5 zone aware routing",
        upstreams=UPSTREAMS,
        policy=boot(clusters=[us(1, 1), cluster("a", localities=ZONES, **config)], node=NODE, **MANAGER),
        calls=[times(60, get())],
        expect=[spread(expected)],
    )


ZONED = [
    _zoned("routing_enabled", "zone_aware_lb_config: routing_enabled 0 switches it off", dict.fromkeys("abcdef", 10),
           routing_enabled={"value": 0}),
    _zoned("force_local", "force_locality_direct_routing: all stays in the own zone", {"a": 30, "b": 30},
           force_locality_direct_routing=True),
]  # fmt: skip

SCENARIOS = [*PLACES, *BOUNDED, *SUBSETS, *LOADED, *NEWCOMERS, *ZONED]
