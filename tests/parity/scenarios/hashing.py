"""Hash policies, RING_HASH and MAGLEV: the same hosts for the same keys (semantics 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bootstrap import (
    Document,
    boot,
    cluster,
    endpoint,
    header,
    locality,
    panic,
    protocol_options,
    retry,
    route,
    thresholds,
    typed,
)
from ..expect import Re, Where
from ..look import got_each, order, see, status
from ..model import Call, Look, Run, Scenario, get, times, together
from ..upstreams.replies import Reply

KEYS = [f"key-{number}" for number in range(100)]
NAMES = ("a", "b", "c", "d", "e")
PLAIN = dict.fromkeys(NAMES, 200)
BY_KEY = [{"header": {"header_name": "x-key"}}]
BY_OTHER = [{"header": {"header_name": "x-other"}}]


def keyed(name: str, **fields: Any) -> Document:
    """An endpoint that is hashed by a key of its own, whatever its port."""
    return endpoint(name, lb={"hash_key": f"host-{name}"}, **fields)


def by_key(keys: Sequence[str] = KEYS, path: str = "/") -> list[Call]:
    return [get(path, {"x-key": key}) for key in keys]


def where(expected: Any, first: int = 0, last: int | None = None) -> Look:
    """Who served each call, one letter after the other."""

    def seen(run: Run) -> str:
        return "".join(outcome.text for outcome in run.outcomes[first:last])

    return see(f"where {first}:{last}", seen, expected)


def placed(name: str, about: str, expected: str, clusters: Document, **fields: Any) -> Scenario:
    """Each of the keys goes to the host that Envoy has for it."""
    return Scenario(
        f"hash_{name}",
        about,
        rule="7 hashing",
        upstreams=PLAIN,
        policy=boot([route(hash_policy=BY_KEY)], [clusters]),
        calls=by_key(),
        expect=[where(expected)],
        **fields,
    )


def policy_of(kind: str, **fields: Any) -> Document:
    """The field `load_balancing_policy` with one policy."""
    config = typed(f"extensions.load_balancing_policies.{kind}", **fields)
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": kind, "typed_config": config}}]}}


EVERYBODY = [keyed(name) for name in NAMES]
UNEQUAL = [keyed("c", weight=1), keyed("a", weight=2), keyed("b", weight=5)]
RING: Mapping[str, Any] = {"lb_policy": "RING_HASH"}
MAGLEV: Mapping[str, Any] = {"lb_policy": "MAGLEV"}
LOCALITIES = [
    locality(keyed("a"), keyed("b"), locality={"zone": "z2"}, load_balancing_weight=1),
    locality(keyed("c"), locality={"zone": "z1"}, load_balancing_weight=3),
    locality(keyed("d"), locality={"zone": "z3"}),
]
BY_LOCALITY = {"common_lb_config": {"locality_weighted_lb_config": {}}}
HALF_WELL = [
    locality(keyed("a"), keyed("b", health="UNHEALTHY"), priority=0),
    locality(keyed("c"), keyed("d"), priority=1),
]

PLACES = [
    placed(
        "ring",
        "five hosts on a ring",
        "aecdeccebbdceebcbcdebadebcceeccbaeadebececabccabedcddcacbcbcdabceecbbebecdbeecabcbeddbebbbabddcadbbd",
        cluster("a", EVERYBODY, **RING),
    ),
    placed(
        "ring_weighted",
        "a ring by weight 1:2:5",
        "bbbbbccbbbbcbbbcbbaabaabbabbaabbaaabbbbcbaabababbbbbababbbbcabbbbcbbbbbbbbabbbabbbbcbbcbbaabbbbabbbb",
        cluster("a", UNEQUAL, **RING),
    ),
    placed(
        "ring_small",
        "a ring of at most 40 entries",
        "babcbbbbbbbbbbbbbbcbbbaababbbbbbbababbbbbbbabbbbbabbcbbbbbbbbbbbbbbbabbabbbbbbbbbbbababbabbabbbbabbb",
        cluster("a", UNEQUAL, **RING, ring_hash_lb_config={"minimum_ring_size": 7, "maximum_ring_size": 40}),
    ),
    placed(
        "ring_murmur",
        "a ring of MurmurHash2",
        "beecdeadbbaabeedeaaceedcdebadddbaaeacaecadddcecdcadeabbbbbddcbcadeccaeabceaddecaaabccaaeddbaeeacbede",
        cluster("a", EVERYBODY, **RING, ring_hash_lb_config={"hash_function": "MURMUR_HASH_2"}),
    ),
    placed(
        "maglev",
        "five hosts in a Maglev table",
        "aabdceddedeaaabbbebccebbaadabcdaeeeceeaebedcbeecbaddebabdcddedebaeeaadbedcaaddebbdaceedbbdabbccbedab",
        cluster("a", EVERYBODY[::-1], **MAGLEV),
    ),
    placed(
        "maglev_weighted",
        "a Maglev table by weight 1:2:5",
        "aabababbbbbaaabbbbbbbbbbaababbabbbbcbaaababcbabababbbbabbcbbbbababbaabbabbabbbbbbbacaacbbbbbbbbbbbbb",
        cluster("a", UNEQUAL, **MAGLEV),
    ),
    placed(
        "maglev_small",
        "a Maglev table of 101 places",
        "abcabbbbbbbbabaabbbabbccabbbcbbabcbcbbbbaabbcaabbabcbbbbbbbcbabbabbabaaabbbbbbaaaaababccbbbcbbbcccbb",
        cluster("a", UNEQUAL, **MAGLEV, maglev_lb_config={"table_size": 101}),
    ),
    placed(
        "ring_localities",
        "localities share a ring by their weights; one without weight has no part of it",
        "acccbcccbcccbcbcbcacacccccccccccaacccbccccaacccbcacbacacccbcccbcbccbccbccccacccccbcccccccbbbcccccbbc",
        cluster("a", localities=LOCALITIES, **RING, **BY_LOCALITY),
    ),
    placed(
        "maglev_localities",
        "localities share a Maglev table by their weights",
        "ccccccccbccaacbbccccccbcaacccccccccccaacbaccccccbacccbcbccabcccbaccacaccccacccccbcaccccbbcccbccbbccb",
        cluster("a", localities=LOCALITIES, **MAGLEV, **BY_LOCALITY),
    ),
    placed(
        "ring_unhealthy",
        "an unhealthy host is not on the ring, and only its keys move",
        "bbcdbcdbbbdcddbcbcddbadbbccdcccbaaaddbccbaabccabbdcddcacbcdcaabcbccbbdbdcdcdacaccbdddbcbbaabddcadbbd",
        cluster("a", [*EVERYBODY[:4], keyed("e", health="UNHEALTHY")], **RING),
    ),
    placed(
        "maglev_panic",
        "in panic all hosts are in the table",
        "aabdceddedeaaabbbebccebbaadabcdaeeeceeaebedcbeecbaddebabdcddedebaeeaadbedcaaddebbdaceedbbdabbccbedab",
        cluster("a", [keyed("a"), *(keyed(name, health="UNHEALTHY") for name in "bcde")], **MAGLEV),
    ),
    placed(
        "ring_priorities",
        "the hash decides on the priority, too",
        "adaaaaaaacaaadaadaaaddaaaaacacacaaaacadaaaacaaaaadaaaaaaaadcaaaaaaadaaaadacdcaaacaaaaacaaaddaccadadc",
        cluster("a", localities=HALF_WELL, **RING),
    ),
    placed(
        "maglev_degraded",
        "a degraded host gets nothing, not even its part of the load",
        "aabaaabbbabaaabbbabbabbbaaaabbaabbaabaaababababababaababbaabbbabaabaaabaabaababbbbaaaabbbaabbbbbbaab",
        cluster("a", [keyed("a"), keyed("b"), keyed("c", health="DEGRADED")], **MAGLEV, **panic(0)),
    ),
    placed(
        "ring_hostname",
        "use_hostname_for_hashing: the endpoint's name is hashed",
        "aaaabaabbcbbcacabaccbbababcaaabccbacbaacacbabbabcacbabaacbcabbccabbbcbcababababccbcbbcbacabbbaacbabb",
        cluster(
            "a",
            [endpoint(name, hostname=f"{name}.test") for name in "abc"],
            kind="STRICT_DNS",
            **RING,
            common_lb_config={"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}},
        ),
    ),
    placed(
        "ring_new_style",
        "load_balancing_policy ring_hash is the same ring",
        "aecdeccebbdceebcbcdebadebcceeccbaeadebececabccabedcddcacbcbcdabceecbbebecdbeecabcbeddbebbbabddcadbbd",
        cluster("a", EVERYBODY, **policy_of("ring_hash.v3.RingHash")),
    ),
    placed(
        "maglev_new_style",
        "load_balancing_policy maglev with its own settings",
        "abcabbbbbbbbabaabbbabbccabbbcbbabcbcbbbbaabbcaabbabcbbbbbbbcbabbabbabaaabbbbbbaaaaababccbbbcbbbcccbb",
        cluster("a", UNEQUAL, **policy_of("maglev.v3.Maglev", table_size=101)),
    ),
]

ADDRESSES = Scenario(
    "hash_addresses",
    "without a key of their own hosts are hashed by address and port",
    rule="7 host key",
    upstreams=PLAIN,
    policy=boot([route(hash_policy=BY_KEY), ], [cluster("a", list(NAMES), **RING)]),
    calls=by_key() * 2,
    expect=[
        see(
            "places",
            lambda run: [outcome.text for outcome in run.outcomes],
            Where(lambda found: found[:100] == found[100:] and len(set(found)) == 5, "every key has its host"),
        )
    ],
)  # fmt: skip


def hashed(
    name: str,
    about: str,
    expected: str,
    policy: Sequence[Document],
    calls: Sequence[Call],
    action: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Scenario:
    """What of a request is hashed, seen by where it goes."""
    return Scenario(
        f"hash_{name}",
        about,
        rule="7 hash of a request",
        upstreams=PLAIN,
        policy=boot([route(hash_policy=list(policy), more=more, **(action or {}))], [cluster("a", EVERYBODY, **RING)]),
        calls=calls,
        expect=[where(expected)],
        **fields,
    )


NUMBERS = range(20)
OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
REQUESTS = [
    hashed(
        "several_values",
        "several lines of a header make one hash, in whatever order they come",
        "aceccbdadcbababdddadaceccbdadcbababdddad",
        BY_KEY,
        [get("/", [("x-key", f"b{n}"), ("x-key", f"a{n}")]) for n in NUMBERS]
        + [get("/", [("x-key", f"a{n}"), ("x-key", f"b{n}")]) for n in NUMBERS],
    ),
    hashed(
        "regex_rewrite",
        "a header is rewritten before it is hashed",
        "cbdcaeccbdcaeccbdcae",
        [
            {
                "header": {
                    "header_name": "x-key",
                    "regex_rewrite": {"pattern": {"regex": "^(.)-.*$"}, "substitution": "\\1"},
                }
            }
        ],
        [get("/", {"x-key": f"{n % 7}-{n}"}) for n in NUMBERS],
    ),
    hashed(
        "query_parameter",
        "the first value of a query parameter, as it was written",
        "ceecacadbcebbabeeccb",
        [{"query_parameter": {"name": "k"}}],
        [get(f"/?x=1&k=v%20{n}&k=other") for n in NUMBERS],
    ),
    hashed(
        "path",
        "the path is hashed as it will be sent: rewritten",
        "caeabecbbcbaceacbcea",
        [{"header": {"header_name": ":path"}}],
        [get(f"/{n}") for n in NUMBERS],
        {"prefix_rewrite": "/new/"},
    ),
    hashed(
        "mutated",
        "a header that the route overwrites is hashed with its new value",
        "cccccccccc",
        BY_KEY,
        by_key(KEYS[:10]),
        more={"request_headers_to_add": [header("x-key", "mine", OVERWRITE)]},
    ),
    hashed(
        "combined",
        "two hashes are combined in their order",
        "cdcbdcdcbabececbebadcbdcaecebeaddecbeaddcbdcaecebeaddecbeadd",
        [*BY_KEY, {"query_parameter": {"name": "q"}}],
        [get(f"/?q={n}", {"x-key": f"{n % 3}"}) for n in NUMBERS]
        + [get("/", {"x-key": f"{n}"}) for n in NUMBERS]
        + [get(f"/?q={n}") for n in NUMBERS],
    ),
    hashed(
        "terminal",
        "what comes after a terminal policy counts only where that found nothing",
        "cbdcbdcbdcbdcbdcbdcbcbdcaecebeaddecbeadd",
        [{**BY_KEY[0], "terminal": True}, {"query_parameter": {"name": "q"}}],
        [get(f"/?q={n}", {"x-key": f"{n % 3}"}) for n in NUMBERS] + [get(f"/?q={n}") for n in NUMBERS],
    ),
    hashed(
        "source_ip",
        "for whom the request is made: the caller, or the last of x-forwarded-for",
        "dceeaaeabbcaccaaeceeb",
        [{"connection_properties": {"source_ip": True}}],
        [get("/")] + [get("/", {"x-forwarded-for": f"9.9.9.9, 10.0.0.{n}"}) for n in NUMBERS],
    ),
    hashed(
        "cookie_values",
        "a cookie that the request brings: quotes are no part of it, and its first value counts",
        "cccaadccdcabcdbdcbbccccaadccdcabcdbdcbbc",
        [{"cookie": {"name": "s", "ttl": "5s"}}],
        [get("/", {"cookie": f'x=1; s="v{n}"; s=other'}) for n in NUMBERS]
        + [get("/", {"cookie": f"x=1; s=v{n}"}) for n in NUMBERS],
    ),
]

STICK = {
    "name": "stick",
    "ttl": "60s",
    "path": "/p",
    "attributes": [{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}],
}
FORM = r'stick="[0-9a-f]{16}"; Max-Age=60; Path=/p; SameSite=Lax; Secure; HttpOnly'
COOKIES = [
    Scenario(
        "hash_cookie_made",
        "a cookie with a ttl is made where the request has none; 0 is a session's; none without a ttl, none for those"
        " that do not hash, none without a host",
        rule="7 generated cookie",
        upstreams=PLAIN,
        policy=boot(
            [
                route("a", "/ttl", hash_policy=[{"cookie": STICK}]),
                route("a", "/session", hash_policy=[{"cookie": {"name": "s", "ttl": "0s"}}]),
                route("a", "/none", hash_policy=[{"cookie": {"name": "s"}}]),
                route("turns", "/turns", hash_policy=[{"cookie": STICK}]),
                route("empty", "/empty", hash_policy=[{"cookie": STICK}]),
            ],
            [cluster("a", EVERYBODY, **RING), cluster("turns", ["a"]), cluster("empty", [], **RING)],
        ),
        calls=[get("/ttl"), get("/session"), get("/none"), get("/turns"), get("/empty")],
        expect=[
            status(200, 200, 200, 200, 503),
            got_each("set-cookie", Re(FORM), Re(r's="[0-9a-f]{16}"; HttpOnly'), None, None, None),
        ],
    ),
    Scenario(
        "hash_cookie_each_try",
        "each try that makes the cookie tells of it, and all of them say the same",
        rule="7 generated cookie",
        upstreams=dict.fromkeys(NAMES, 503),
        policy=boot(
            [route(hash_policy=[{"cookie": STICK}], retry_policy=retry("5xx", 2))], [cluster("a", EVERYBODY, **RING)]
        ),
        calls=[get()],
        expect=[
            status(503),
            see("cookies", lambda run: len(run.outcomes[0].header("set-cookie") or ()), 3),
            see("one value", lambda run: len(set(run.outcomes[0].header("set-cookie") or ())), 1),
        ],
    ),
]


def _tries(name: str, about: str, expected: str, lb: Mapping[str, Any], **policy: Any) -> Scenario:
    return Scenario(
        f"hash_retry_{name}",
        about,
        rule="3.6 host choice on retry",
        upstreams=dict.fromkeys(NAMES, 503),
        policy=boot(
            [route(hash_policy=BY_KEY, retry_policy=retry("5xx", 4, base="0.001s", **policy))],
            [cluster("a", EVERYBODY, **lb, **thresholds(max_retries=100))],
        ),
        calls=by_key(KEYS[:6]),
        expect=[order(expected)],
    )


PREVIOUS = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 6,
}
RETRIES = [
    _tries("stays", "a retry goes to the host of the same hash", "aaaaaeeeeecccccdddddeeeeeccccc", RING),
    _tries(
        "ring", "with previous_hosts a retry goes on along the ring", "adceeebaeecdaeedecbaebdacceadb", RING, **PREVIOUS
    ),
    _tries(
        "maglev",
        "with previous_hosts a retry goes on in the table",
        "abeeeacbdabdceadbaeecabeeebade",
        MAGLEV,
        **PREVIOUS,
    ),
]

OTHERS = [
    Scenario(
        "hash_no_key",
        "nothing to hash: any host",
        rule="7 none => random",
        upstreams=PLAIN,
        policy=boot([route(hash_policy=BY_KEY)], [cluster("a", EVERYBODY, **RING)]),
        calls=[times(80, get())],
        expect=[see("hosts", lambda run: len({outcome.text for outcome in run.outcomes}), 5)],
    ),
    Scenario(
        "hash_weighted_clusters",
        "use_hash_policy: the hash draws the cluster, before the route's headers are changed",
        rule="1.6 use_hash_policy",
        upstreams=PLAIN,
        policy=boot(
            [
                route(
                    None,
                    hash_policy=BY_KEY,
                    weighted_clusters={
                        "use_hash_policy": True,
                        "clusters": [{"name": "a", "weight": 30}, {"name": "b", "weight": 70}],
                    },
                    more={"request_headers_to_add": [header("x-key", "mine", OVERWRITE)]},
                )
            ],
            [cluster("a"), cluster("b")],
        ),
        calls=by_key(),
        expect=[
            where(
                "bbbbaaabbbabbbbabbaabbabababbbbbabbabbbbbbabaabbabbbbabbabbbbbbaabbbbbbabbbbbbbbbbbbbbbaaabbbbbbbbbb"
            )
        ],
    ),
    Scenario(
        "hash_cluster_policy",
        "the cluster's hash policy beats the route's, and that of its load balancer beats both",
        rule="7 HPO.hash_policy",
        upstreams=PLAIN,
        policy=boot(
            [route("a", "/options", hash_policy=BY_KEY), route("own", "/own", hash_policy=BY_KEY)],
            [
                cluster("a", EVERYBODY, **RING, **protocol_options(hash_policy=BY_OTHER)),
                cluster(
                    "own",
                    EVERYBODY,
                    **protocol_options(hash_policy=BY_KEY),
                    **policy_of(
                        "ring_hash.v3.RingHash",
                        consistent_hashing_lb_config={"hash_policy": BY_OTHER},
                    ),
                ),
            ],
        ),
        calls=[get(path, {"x-key": "same", "x-other": key}) for path in ("/options", "/own") for key in KEYS[:30]],
        expect=[where("aecdeccebbdceebcbcdebadebcceec", 0, 30), where("aecdeccebbdceebcbcdebadebcceec", 30, 60)],
    ),
    Scenario(
        "hash_balance_factor",
        "hash_balance_factor: a host that has more than its share passes requests on, in an order of the hash's own",
        rule="7 bounded load",
        upstreams=dict.fromkeys(NAMES, Reply(delay=1.5)),
        policy=boot(
            [route(hash_policy=BY_KEY)],
            [
                cluster(
                    "a",
                    EVERYBODY,
                    **RING,
                    common_lb_config={"consistent_hashing_lb_config": {"hash_balance_factor": 120}},
                )
            ],
        ),
        calls=[together(*by_key(["key-1"] * 12), stagger=0.06)],
        expect=[order("eeddedaaedaa")],
    ),
]

SCENARIOS = [*PLACES, ADDRESSES, *REQUESTS, *COOKIES, *RETRIES, *OTHERS]
