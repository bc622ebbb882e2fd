"""Outlier detection as it is where the policy names no number (semantics 5, the table)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, panic, route
from ..expect import Where
from ..look import hits, see, spread, tally
from ..model import Scenario, get, pause, times
from ..upstreams.replies import Upstream

_ALONE = panic(0)
_TEN = "abcdefghij"


def _cluster(name: str, *hosts: str, **detection: Any) -> dict[str, Any]:
    """A cluster that ejects as many as it likes, all else by default."""
    return cluster(name, list(hosts), outlier_detection={"max_ejection_percent": 100, **detection}, **_ALONE)


def _alternating(name: str, about: str, bad: Any, hits_of_bad: int, **detection: Any) -> Scenario:
    """Two hosts, and how often the bad one is called."""
    return Scenario(
        f"outlier_default_{name}",
        about,
        rule="5 defaults",
        upstreams={"bad": bad, "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", **detection)]),
        calls=[times(20, get(), pause=0.01)],
        expect=[hits(bad=hits_of_bad)],
    )


def _stays_out(name: str, about: str, **detection: Any) -> Scenario:
    """A host that fails once, and is well again, does not come back soon."""
    return Scenario(
        f"outlier_default_{name}",
        about,
        rule="5 defaults",
        upstreams={"bad": [500, 200], "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", consecutive_5xx=1, **detection)]),
        calls=[times(4, get(), pause=0.01), pause(0.7), times(4, get(), pause=0.01)],
        expect=[hits(bad=1, good=7)],
    )


_RATES = {"interval": "0.5s", "consecutive_5xx": 1000, "success_rate_request_volume": 3}
_PERCENTAGES = {
    "interval": "0.5s",
    "consecutive_5xx": 1000,
    "enforcing_success_rate": 0,
    "failure_percentage_request_volume": 3,
}

SCENARIOS = [
    _alternating("consecutive_5xx", "the fifth 5xx in a row ejects, always", 500, 5),
    _alternating(
        "gateway_failures",
        "five gateway failures in a row would eject if they were enforced",
        503,
        5,
        enforcing_consecutive_5xx=0,
        enforcing_consecutive_gateway_failure=100,
    ),
    _alternating("gateway_unheeded", "gateway failures alone eject nobody", 503, 5, consecutive_gateway_failure=2),
    Scenario(
        "outlier_default_local_origin",
        "split mode: the fifth refused connection in a row ejects",
        rule="5 defaults",
        upstreams={"bad": Upstream(kind="refused"), "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", split_external_local_origin_errors=True)]),
        calls=[times(20, get(), pause=0.01)],
        expect=[tally({200: 15, 503: 5})],
    ),
    _stays_out("interval", "only every ten seconds somebody comes back", base_ejection_time="0.05s"),
    _stays_out("base_ejection_time", "an ejection lasts for half a minute", interval="0.1s"),
    _stays_out(
        "jitter",
        "max_ejection_time_jitter: an ejection lasts up to so much longer",
        interval="0.1s",
        base_ejection_time="0.05s",
        max_ejection_time_jitter="3000s",
    ),
    Scenario(
        "outlier_default_max_ejection_percent",
        "10 %: of ten hosts one goes, of nine none",
        rule="5 default 10 %",
        upstreams={**dict.fromkeys(_TEN, 200), "a": 500, "b": 500},
        policy=boot(
            [route("nine", "/nine"), route("ten")],
            [
                cluster("ten", list(_TEN), outlier_detection={"consecutive_5xx": 1}, **_ALONE),
                cluster("nine", list(_TEN[:9]), outlier_detection={"consecutive_5xx": 1}, **_ALONE),
            ],
        ),
        calls=[times(18, get("/nine"), pause=0.005), times(40, get("/ten"), pause=0.005)],
        expect=[
            spread(dict.fromkeys(_TEN[:9], 2), last=18),
            see("out", lambda run: sorted(len(run.at(name).requests) for name in "ab")[0], 3),
        ],
    ),
    Scenario(
        "outlier_default_success_rate",
        "success rates count from five hosts on, and 1.9 deviations below the mean is too low",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcde", 200), "x": 500, "y": 500},
        policy=boot(
            [route("goes", "/goes"), route("four", "/four"), route("two")],
            [
                _cluster("goes", *"abcdx", **_RATES),
                _cluster("four", *"abcx", success_rate_stdev_factor=1000, **_RATES),
                _cluster("two", *"abcxy", **_RATES),
            ],
        ),
        calls=[
            *[times(60, get(path)) for path in ("/goes", "/four", "/two")],
            pause(0.8),
            *[times(5, get(path)) for path in ("/goes", "/four", "/two")],
        ],
        expect=[
            spread(Where(lambda seen: "x" not in seen, "nothing to x"), first=180, last=185),
            spread(Where(lambda seen: "x" in seen, "one to x"), first=185, last=190),
            spread({"a": 1, "b": 1, "c": 1, "x": 1, "y": 1}, first=190),
        ],
    ),
    Scenario(
        "outlier_default_failure_percentage",
        "failure percentages count from five hosts on, and nobody is ejected for them",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcd", 200), "x": 500},
        policy=boot(
            [route("goes", "/goes"), route("four", "/four"), route("all")],
            [
                _cluster("goes", *"abcdx", enforcing_failure_percentage=100, **_PERCENTAGES),
                _cluster("four", *"abcx", enforcing_failure_percentage=100, **_PERCENTAGES),
                _cluster("all", *"abcdx", **_PERCENTAGES),
            ],
        ),
        calls=[
            *[times(60, get(path)) for path in ("/goes", "/four", "/all")],
            pause(0.8),
            *[times(5, get(path)) for path in ("/goes", "/four", "/all")],
        ],
        expect=[
            spread(Where(lambda seen: "x" not in seen, "nothing to x"), first=180, last=185),
            spread(Where(lambda seen: "x" in seen, "one to x"), first=185, last=190),
            spread({"a": 1, "b": 1, "c": 1, "d": 1, "x": 1}, first=190),
        ],
    ),
    Scenario(
        "outlier_default_request_volume",
        "what a host does with a few calls tells neither of its success rate nor of its failures",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcd", 200), "x": 500},
        policy=boot(
            [route("rate", "/rate"), route("percentage")],
            [
                _cluster("rate", *"abcdx", interval="0.5s", consecutive_5xx=1000),
                _cluster(
                    "percentage", *"abcdx", interval="0.5s", consecutive_5xx=1000, enforcing_failure_percentage=100
                ),
            ],
        ),
        calls=[times(150, get("/rate")), times(150, get("/")), pause(0.8), times(5, get("/rate")), times(5, get("/"))],
        expect=[spread(dict.fromkeys("abcdx", 2), first=300)],
    ),
]
