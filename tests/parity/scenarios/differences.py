"""What docs/parity.md says we do otherwise, where no other area shows it."""

from __future__ import annotations

import itertools
import ssl
from collections import Counter
from typing import Any

from ..bootstrap import boot, cluster, direct, health_check, panic, protocol_options, retry, route, tls
from ..expect import Re
from ..look import bodies, got, got_each, hits, lines, received, see, status, took
from ..model import Differs, Run, Scenario, get, health, pause, post, times, wait_for
from ..upstreams.replies import Reply, Tls, Upstream, close
from .access_log import file_log, text, written
from .filters import mutation, query


def shares(run: Run) -> list[int]:
    """How many of the later calls each host had, of those that had any."""
    return sorted(Counter(outcome.text for outcome in run.outcomes[3:]).values())


def _mirrors_on(name: str, to: str) -> dict[str, Any]:
    """A cluster that mirrors whatever it is sent."""
    return cluster(name, ["a"], **protocol_options(request_mirror_policies=[{"cluster": to}]))


CIRCLE = [_mirrors_on(one, to) for one, to in itertools.pairwise("abcdefghijk")] + [cluster("k", ["a"])]
"""Nearly: ten clusters of which each mirrors to the next, so that Envoy comes to an end with it."""

SCENARIOS = [
    Scenario(
        "differs_retry_safety",
        "a POST is retried only where its upstream cannot have started on it, unless retry_safety says otherwise",
        rule="3.2",
        upstreams={"a": [503, 200], "b": Upstream(kind="refused")},
        policy=boot(
            [route("b", "/refused", retry_policy=retry("5xx", 2)), route(retry_policy=retry("5xx", 2))],
            [cluster("a"), cluster("b")],
            host={"include_attempt_count_in_response": True},
        ),
        calls=[post("/refused", b"x"), post("/", b"x")],
        expect=[status(503, 200), got_each("x-envoy-attempt-count", "3", "2"), received("x", "x")],
        differs=Differs(
            "Requests that must not be repeated: `retry_safety`",
            [status(503, 503), got_each("x-envoy-attempt-count", "3", "1"), received("x")],
            {"retry_safety": "idempotent"},
        ),
    ),
    Scenario(
        "differs_exceptions",
        "what the ambassador itself says is raised, unless local_replies says otherwise",
        rule="14.4",
        policy=boot([route("none", "/none"), route()], [cluster("none", []), cluster("a")]),
        calls=[get(), get("/none")],
        expect=[status(200, 503), got({"server": "envoy", "x-envoy-upstream-service-time": Re(r"\d+")}, 0)],
        differs=Differs(
            "Failures are exceptions: `local_replies`",
            [
                status(200, "transport-error"),
                got({"server": None, "x-envoy-upstream-service-time": None}, 0),
            ],
            {"local_replies": "raise"},
        ),
    ),
    Scenario(
        "differs_copies_of_copies",
        "what was mirrored is mirrored again by its cluster's own policies, here eight times at most",
        rule="1.6 request_mirror_policies",
        policy=boot(clusters=CIRCLE),
        calls=[get(headers={"host": "h"}), wait_for(lambda run: len(run.at("a").requests) >= 9), pause(0.3)],
        expect=[hits(a=11)],
        differs=Differs("Mirrored copies have bounds", [hits(a=9)]),
    ),
    Scenario(
        "differs_tls_curves",
        "Envoy offers X25519 and P-256, Python's library what it has: a server that insists on P-384",
        rule="10 ecdh_curves",
        upstreams={"a": Upstream(tls=Tls(curve="secp384r1", maximum=ssl.TLSVersion.TLSv1_2))},
        policy=boot(clusters=[cluster("a", **tls())]),
        calls=[get()],
        expect=[status(503), hits(a=0)],
        differs=Differs("TLS curves", [status(200), hits(a=1)]),
    ),
    Scenario(
        "differs_health_is_seen_at_once",
        "within update_merge_window Envoy's load balancers do not hear of hosts that fail",
        rule="6.2, update_merge_window",
        upstreams={name: Upstream(health=200) for name in "abc"},
        policy=boot(
            clusters=[
                cluster("a", ["a", "b", "c"], health_checks=[health_check()], **panic(0, update_merge_window="60s"))
            ]
        ),
        calls=[
            times(3, get("/before")),
            health("b", 503),
            health("c", 503),
            wait_for(lambda run: run.notes.setdefault("b", len(run.at("b").checks)) + 3 < len(run.at("b").checks)),
            wait_for(lambda run: run.notes.setdefault("c", len(run.at("c").checks)) + 3 < len(run.at("c").checks)),
            times(6, get()),
        ],
        # Of two changes the first is heard of at once, the other waits for the window's end.
        expect=[see("shares", shares, [3, 3])],
        differs=Differs("Changes of health are seen at once", [see("shares", shares, [6])]),
    ),
    Scenario(
        "differs_end_of_a_broken_body",
        "the error of a body that breaks off comes a second late from Envoy, at once here",
        rule="14.3",
        upstreams={"a": close("in body", body=["one", "two", "three"])},
        policy=boot(manager={"delayed_close_timeout": "3s"}),
        calls=[get()],
        expect=[status("transport-error"), bodies("onetwo"), took(2.9, 15)],
        differs=Differs("The end of a broken-off body", [took(0, 2.5)]),
    ),
    Scenario(
        "differs_decoded_query",
        "a filter that changes the query decodes it; what cannot stand on the request's line is encoded again here",
        rule="9.8 query_parameter_mutations",
        policy=boot(filters=[mutation(query=[query("q", "1")])]),
        calls=[get("/?a=%C3%A9")],
        expect=[lines("GET /?a=\u00c3\u00a9&q=1")],
        differs=Differs("What cannot stand on a request's line", [lines("GET /?a=%C3%A9&q=1")]),
    ),
    Scenario(
        "differs_rewritten_line",
        "a rewritten path is sent on as it is, spaces and all; here what would break the line is encoded",
        rule="1.6 path rewrite",
        policy=boot(
            [
                route(prefix="/space", prefix_rewrite="/a b"),
                route(prefix="/header", path_rewrite="/%REQ(x-a)%"),
                route(prefix="/more", prefix_rewrite="/\u00e9"),
            ]
        ),
        calls=[get("/space"), get("/header", {"x-a": "1\t2"}), get("/more")],
        expect=[lines("GET /a", "GET /1\t2", "GET /\u00c3\u00a9")],  # this upstream takes a line apart at spaces
        differs=Differs("What cannot stand on a request's line", [lines("GET /a%20b", "GET /1%092", "GET /%C3%A9")]),
    ),
    Scenario(
        "differs_body_where_none_may_be",
        "a direct response of 204 goes out with its body, which the connection cannot take; here it has none",
        rule="1.6 direct_response",
        policy=boot([direct(204, "text")]),
        calls=[get()],
        expect=[status(204), got({"content-length": "4", "content-type": "text/plain"})],
        differs=Differs("The hop that is not there", [got({"content-length": None, "content-type": None})]),
    ),
    Scenario(
        "differs_late_end_of_a_request",
        "whoever answers before the body has come closes the connection; here a body at hand has come",
        rule="12.1",
        policy=boot([route("none")], [cluster("none", [])]),
        calls=[post("/", None, chunks=[b"a", b"b"], pause=0.2), post("/", b"ab")],
        expect=[status(503, 503), got_each("connection", "close", "close")],
        differs=Differs("The hop that is not there", [got_each("connection", "close", None)]),
    ),
    Scenario(
        "differs_access_log",
        "what is counted on sockets is not told",
        rule="11.3 access log",
        upstreams={"a": Reply(body="x")},
        policy=boot(
            manager={
                "access_log": [file_log(text("%CONNECTION_ID% %UPSTREAM_CONNECTION_ID% %UPSTREAM_WIRE_BYTES_SENT%"))]
            }
        ),
        calls=[get(), wait_for(written)],
        expect=[see("log", written, [Re(r"\d+ \d+ \d+")])],
        differs=Differs("What only an access log can tell", [see("log", written, ["- - -"])]),
    ),
]
