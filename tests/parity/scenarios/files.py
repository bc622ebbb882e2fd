"""Discovery by file: listeners, routes, clusters and endpoints that change while calls run (semantics 8.3)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import (
    CDS,
    EDS,
    LDS,
    RDS,
    at,
    boot,
    cluster,
    direct,
    discovery,
    endpoint,
    from_file,
    health_check,
    listener,
    load_assignment,
    locality,
    panic,
    retry,
    route,
    thresholds,
    virtual_host,
)
from ..look import bodies, body, connections, hits, spread, status, took
from ..model import Differs, Scenario, Together, Until, get, overwrite, pause, remove, times, wait_for, write
from ..upstreams.replies import Reply, Upstream

Document = dict[str, Any]

BOTH = {"a": 200, "b": 200}
LONG = Reply(200).later(1.2)
STALE = {"endpoint_stale_after": "2.5s"}

IGNORED = pause(0.9)
"""Long enough for both sides to have seen a file that they shall not use."""


def became(text: str, *, within: float = 5.0, path: str = "/") -> Until:
    """Call until a body is `text`."""
    return Until(get(path), lambda outcome: outcome.text == text and outcome.status == 200, within=within)


def fails(path: str = "/") -> Until:
    return Until(get(path), lambda outcome: outcome.status == 503)


def by_eds(name: str = "a", *, service: str = "", directory: Document | None = None, **fields: Any) -> Document:
    config: Document = {"eds_config": from_file("eds.yaml", **({"watched_directory": directory} if directory else {}))}
    if service:
        config["service_name"] = service
    return cluster(name, kind="EDS", eds_cluster_config=config, **fields)


def eds(*endpoints: str | Document, name: str = "a", **fields: Any) -> Document:
    return discovery(EDS, load_assignment(name, endpoints, **fields))


def cds(*clusters: Document) -> Document:
    return discovery(CDS, *clusters)


def rds(*routes: Document, name: str = "found", **fields: Any) -> Document:
    return discovery(RDS, {"name": name, "virtual_hosts": [virtual_host(*routes)], **fields})


def lds(*listeners: Document) -> Document:
    return discovery(LDS, *listeners)


def main(*routes: Document, name: str = "main", **fields: Any) -> Document:
    return listener(name, route_config={"name": "table", "virtual_hosts": [virtual_host(*routes)]}, **fields)


def with_eds(**fields: Any) -> Document:
    return boot(clusters=[by_eds(**fields)])


def with_rds(*clusters: Document) -> Document:
    manager = {"rds": {"route_config_name": "found", "config_source": from_file("rds.yaml")}}
    return boot(clusters=clusters or [cluster("a"), cluster("b")], manager=manager)


def with_cds(*routes: Document, clusters: tuple[Document, ...] = ()) -> Document:
    table = {"validate_clusters": False}
    made = boot(routes, clusters, table=table, dynamic_resources={"cds_config": from_file("cds.yaml")})
    made["static_resources"]["clusters"] = list(clusters)
    return made


def with_lds(*listeners: Document, clusters: tuple[Document, ...] = ()) -> Document:
    made = boot(
        clusters=clusters or [cluster("a"), cluster("b")],
        listeners=listeners,
        dynamic_resources={"lds_config": from_file("lds.yaml")},
    )
    made["static_resources"]["listeners"] = list(listeners)
    return made


def refused_eds(name: str, about: str, update: Any, **fields: Any) -> Scenario:
    """An update of endpoints that is not used: the last good one stays, and the next good one counts."""
    return Scenario(
        f"eds_refused_{name}",
        f"{about}: refused, the endpoints stay; the next update counts",
        rule="8.3 last good config",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), write("eds.yaml", update), IGNORED, get(), write("eds.yaml", eds("b")), became("b")],
        expect=[status(200, 200, 200), bodies("a", "a", "b")],
        **fields,
    )


def refused_rds(name: str, about: str, update: Any) -> Scenario:
    return Scenario(
        f"rds_refused_{name}",
        f"{about}: refused, the routes stay",
        rule="8.3 last good config",
        upstreams=BOTH,
        policy=with_rds(),
        files={"rds.yaml": rds(route("a"))},
        calls=[get(), write("rds.yaml", update), IGNORED, get()],
        expect=[bodies("a", "a")],
    )


ENDPOINTS = [
    Scenario(
        "eds_endpoints_are_used",
        "endpoints come from the file, with weights",
        rule="8.1 EDS",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds(endpoint("a", weight=3), endpoint("b", weight=1))},
        calls=[times(8, get())],
        expect=[status(*[200] * 8), hits(a=6, b=2)],
    ),
    Scenario(
        "eds_update_moves_traffic",
        "a new endpoint takes the place of the old one, and no call fails",
        rule="8.3 reload by rename",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[times(3, get()), write("eds.yaml", eds("b")), became("b"), times(3, get())],
        expect=[status(*[200] * 7), spread({"a": 3}, 0, 3), spread({"b": 4}, 3)],
    ),
    Scenario(
        "eds_service_name",
        "service_name is what the endpoints go by in the file",
        rule="8.1 EDS service_name",
        policy=with_eds(service="billing"),
        files={"eds.yaml": eds("a", name="billing")},
        calls=[get()],
        expect=[status(200), hits(a=1)],
    ),
    Scenario(
        "eds_health_status_changes",
        "an endpoint that the file calls unhealthy gets nothing more; one called healthy again does",
        rule="8.3 EDS health_status",
        upstreams=BOTH,
        policy=with_eds(**panic(0)),
        files={"eds.yaml": eds("a", endpoint("b", health="UNHEALTHY"))},
        calls=[
            times(4, get()),
            write("eds.yaml", eds(endpoint("a", health="DRAINING"), endpoint("b", health="HEALTHY"))),
            became("b"),
            times(4, get()),
        ],
        expect=[spread({"a": 4}, 0, 4), spread({"b": 5}, 4)],
    ),
    Scenario(
        "eds_priorities",
        "priorities of discovered localities: P1 takes over when P0 is emptied",
        rule="8.3 EDS, 6.4",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds(localities=[locality("a"), locality("b", priority=1)])},
        calls=[
            times(3, get()),
            write("eds.yaml", eds(localities=[locality(), locality("b", priority=1)])),
            became("b"),
            times(3, get()),
        ],
        expect=[spread({"a": 3}, 0, 3), spread({"b": 4}, 3)],
    ),
    Scenario(
        "eds_no_endpoints_empty_the_cluster",
        "an assignment without endpoints is valid: 503 UH; endpoints come back",
        rule="8.3 zero endpoints",
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), write("eds.yaml", eds()), fails(), write("eds.yaml", eds("a")), became("a")],
        expect=[status(200, 503, 200), body("no healthy upstream", 1)],
    ),
    Scenario(
        "eds_no_resource_is_no_news",
        "a response without a resource keeps the endpoints",
        rule="8.3 zero resources",
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), write("eds.yaml", discovery(EDS)), IGNORED, get()],
        expect=[status(200, 200), hits(a=2)],
    ),
    Scenario(
        "eds_removed_host_finishes",
        "a request on a removed host is finished; new ones go elsewhere meanwhile",
        rule="8.3 removed hosts",
        upstreams={"a": LONG, "b": 200},
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[Together([get("/slow"), write("eds.yaml", eds("b")), became("b")], stagger=0.15)],
        expect=[status(200, 200), bodies("a", "b"), took(1.15, 4.0, 0)],
    ),
    Scenario(
        "eds_removed_host_s_connections_are_closed",
        "a host that comes back after its removal is connected to anew",
        rule="8.3 removed hosts",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[
            get(),
            write("eds.yaml", eds("b")),
            became("b"),
            write("eds.yaml", eds("a")),
            became("a"),
            get(),
        ],
        expect=[status(*[200] * 4), connections(a=2, b=1)],
    ),
    Scenario(
        "eds_host_that_stays_keeps_its_connections",
        "an update that adds a host leaves the other's connections alone",
        rule="8.3 EDS",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[times(2, get()), write("eds.yaml", eds("a", "b")), became("b"), times(3, get())],
        expect=[status(*[200] * 6), connections(a=1, b=1)],
    ),
    Scenario(
        "eds_removed_host_stays_while_it_passes_its_check",
        "with active health checks a removed host serves on until a check fails",
        rule="6.2 PENDING_DYNAMIC_REMOVAL",
        upstreams={"a": Upstream(200, health=200), "b": Upstream(200, health=200)},
        policy=with_eds(health_checks=[health_check()]),
        files={"eds.yaml": eds("a", "b")},
        calls=[get(), write("eds.yaml", eds("b")), IGNORED, times(4, get())],
        expect=[spread({"a": 2, "b": 2}, 1)],
    ),
    Scenario(
        "eds_unknown_field",
        "unknown fields are passed over in what is discovered",
        rule="8.3 unknown fields",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), write("eds.yaml", eds("b", no_such_field=1)), became("b")],
        expect=[bodies("a", "b")],
    ),
    Scenario(
        "eds_json",
        "a response may be JSON, in a file called .yaml too",
        rule="8.3 YAML/JSON",
        policy=with_eds(),
        files={
            "eds.yaml": '{"resources": [{"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",'
            '"cluster_name": "a", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": '
            '{"address": "127.0.0.1", "port_value": ${port:a}}}}}]}]}]}'
        },
        calls=[get()],
        expect=[status(200), hits(a=1)],
    ),
    Scenario(
        "eds_endpoints_grow_stale",
        "without an update for endpoint_stale_after the endpoints are dropped; an update brings them back",
        rule="8.4 endpoint_stale_after",
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[
            get(),
            write("eds.yaml", eds("a", policy={"endpoint_stale_after": "1s"})),
            fails(),
            write("eds.yaml", eds("a")),
            became("a"),
            pause(1.2),
            get(),
        ],
        expect=[status(200, 503, 200, 200), body("no healthy upstream", 1)],
    ),
    Scenario(
        "eds_said_again_is_fresh",
        "an update that says the same again puts endpoint_stale_after off",
        rule="8.4 endpoint_stale_after",
        policy=with_eds(),
        files={"eds.yaml": eds("a", policy=STALE)},
        calls=[*[pause(0.8), write("eds.yaml", eds("a", policy=STALE))] * 3, pause(0.8), get(), fails()],
        expect=[status(200, 503)],
    ),
    Scenario(
        "eds_created_in_place",
        "after a deletion Envoy waits for a move; what is created there is read here as soon as it rests",
        rule="8.3 deletion",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), remove("eds.yaml"), IGNORED, overwrite("eds.yaml", eds("b")), IGNORED, get()],
        expect=[bodies("a", "a")],
        differs=Differs("Files that are created in place", [bodies("a", "b")]),
    ),
    refused_eds("not_yaml", "a file that is no YAML", "resources: ["),
    refused_eds("empty_file", "an empty file", ""),
    refused_eds("other_name", "endpoints of another cluster", eds("b", name="other")),
    refused_eds("two_resources", "two resources", discovery(EDS, load_assignment("a", ["b"]), load_assignment("c"))),
    refused_eds("other_type", "resources of another type", rds(route("b"), name="a")),
    refused_eds("out_of_range", "a value out of range", eds("b", policy={"overprovisioning_factor": 0})),
    refused_eds("hostname", "a name in place of an address", eds(endpoint("b", host="localhost"))),
    Scenario(
        "eds_written_in_place",
        "writing into the file is no update; a move is",
        rule="8.3 in-place writes",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), overwrite("eds.yaml", eds("b")), IGNORED, get(), write("eds.yaml", eds("b")), became("b")],
        expect=[bodies("a", "a", "b")],
    ),
    Scenario(
        "eds_deleted_file",
        "a deleted file changes nothing; one moved to its place does",
        rule="8.3 deletion",
        upstreams=BOTH,
        policy=with_eds(),
        files={"eds.yaml": eds("a")},
        calls=[get(), remove("eds.yaml"), IGNORED, get(), write("eds.yaml", eds("b")), became("b")],
        expect=[bodies("a", "a", "b")],
    ),
    Scenario(
        "eds_watched_directory",
        "with watched_directory a move of any entry there has the file read again, however it was written",
        rule="8.3 watched_directory",
        upstreams=BOTH,
        policy=with_eds(directory={"path": "${file:watched}"}),
        files={"eds.yaml": eds("a"), "watched/entry": "1"},
        calls=[
            get(),
            overwrite("eds.yaml", eds("b")),
            IGNORED,
            get(),
            write("watched/entry", "2"),
            became("b"),
        ],
        expect=[bodies("a", "a", "b")],
    ),
    Scenario(
        "eds_watch_modify",
        "with watch_modify what is written in place counts",
        rule="8.3 watch_modify",
        upstreams=BOTH,
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    kind="EDS",
                    eds_cluster_config={
                        "eds_config": from_file(
                            "in/eds.yaml", watched_directory={"path": "${file:in}", "watch_modify": True}
                        )
                    },
                )
            ]
        ),
        files={"in/eds.yaml": eds("a")},
        calls=[get(), overwrite("in/eds.yaml", eds("b")), became("b")],
        expect=[bodies("a", "b")],
    ),
    Scenario(
        "eds_of_no_use_at_the_start",
        "a file that cannot be used at the start leaves the cluster empty; the next update fills it",
        rule="8.3 at boot",
        policy=with_eds(),
        files={"eds.yaml": "resources: ["},
        calls=[get(), write("eds.yaml", eds("a")), became("a")],
        expect=[status(503, 200), body("no healthy upstream", 0)],
    ),
]

ROUTES = [
    Scenario(
        "rds_update_moves_traffic",
        "a new table holds for new calls, and none fails",
        rule="8.3 RDS",
        upstreams=BOTH,
        policy=with_rds(),
        files={"rds.yaml": rds(route("a"))},
        calls=[times(2, get()), write("rds.yaml", rds(route("b"))), became("b"), times(2, get())],
        expect=[status(*[200] * 5), spread({"a": 2}, 0, 2), spread({"b": 3}, 2)],
    ),
    Scenario(
        "rds_policy_update",
        "a retry policy that arrives with an update takes effect",
        rule="8.3 RDS",
        upstreams={"a": [503, 503, 200]},
        policy=with_rds(cluster("a")),
        files={"rds.yaml": rds(direct(200, "old", "/version"), route("a"))},
        calls=[
            get(),
            write("rds.yaml", rds(direct(200, "new", "/version"), route("a", retry_policy=retry("5xx", 1)))),
            became("new", path="/version"),
            get(),
        ],
        expect=[status(503, 200, 200), hits(a=3)],
    ),
    Scenario(
        "rds_call_under_way_keeps_its_route",
        "a call that runs while its route goes is finished by it",
        rule="8.3 RDS",
        upstreams={"a": LONG, "b": 200},
        policy=with_rds(),
        files={"rds.yaml": rds(route("a"))},
        calls=[Together([get("/slow"), write("rds.yaml", rds(route("b"))), became("b")], stagger=0.15)],
        expect=[status(200, 200), bodies("a", "b"), took(1.15, 4.0, 0)],
    ),
    Scenario(
        "rds_missing_cluster",
        "a table that names a cluster that is not there is taken: 503 NC",
        rule="8.4 RDS and clusters",
        policy=with_rds(cluster("a")),
        files={"rds.yaml": rds(route("a"))},
        calls=[get(), write("rds.yaml", rds(route("nowhere"))), fails()],
        expect=[status(200, 503), body("")],
    ),
    Scenario(
        "rds_no_table",
        "without a table the listener answers 404, until one comes",
        rule="8.3 RDS at boot",
        policy=with_rds(cluster("a")),
        files={"rds.yaml": discovery(RDS)},
        calls=[get(), write("rds.yaml", rds(route("a"))), became("a")],
        expect=[status(404, 200)],
    ),
    refused_rds("other_name", "a table of another name", rds(route("b"), name="other")),
    refused_rds(
        "two_tables",
        "two tables",
        discovery(RDS, *({"name": name, "virtual_hosts": [virtual_host(route("b"))]} for name in ("found", "more"))),
    ),
    refused_rds(
        "taken_domain",
        "a domain that two virtual hosts want",
        discovery(
            RDS, {"name": "found", "virtual_hosts": [virtual_host(route("b"), name=name) for name in ("one", "two")]}
        ),
    ),
    refused_rds(
        "validated_clusters",
        "a cluster that is not there, under validate_clusters",
        rds(route("b", "/b"), route("nowhere"), validate_clusters=True),
    ),
    Scenario(
        "rds_validated_clusters_are_there",
        "validate_clusters does not mind a table whose clusters are all there",
        rule="8.4 RDS and clusters",
        upstreams=BOTH,
        policy=with_rds(),
        files={"rds.yaml": rds(route("a"))},
        calls=[get(), write("rds.yaml", rds(route("b"), validate_clusters=True)), became("b")],
        expect=[bodies("a", "b")],
    ),
    refused_rds("weights", "weights that sum to zero", rds(route(None, weighted_clusters={"clusters": []}))),
    Scenario(
        "rds_no_resource_is_no_news",
        "a response without a table keeps the table",
        rule="8.3 zero resources",
        policy=with_rds(cluster("a")),
        files={"rds.yaml": rds(route("a"))},
        calls=[get(), write("rds.yaml", discovery(RDS)), IGNORED, get()],
        expect=[status(200, 200)],
    ),
]

CLUSTERS = [
    Scenario(
        "cds_comes_changes_goes",
        "a cluster is there with the file that brings it, moves with its endpoints, and is gone (NC) with its entry",
        rule="8.3 CDS",
        upstreams=BOTH,
        policy=with_cds(route("x")),
        files={"cds.yaml": cds()},
        calls=[
            get(),
            write("cds.yaml", cds(cluster("x", ["a"]))),
            became("a"),
            write("cds.yaml", cds(cluster("x", ["b"]))),
            became("b"),
            write("cds.yaml", cds()),
            fails(),
        ],
        expect=[status(503, 200, 200, 503), bodies("", "a", "b", "")],
    ),
    Scenario(
        "cds_written_down_wins",
        "a discovered cluster of a written one's name has no effect",
        rule="8.3 CDS and static clusters",
        upstreams=BOTH,
        policy=with_cds(route("b", "/b"), route("a"), clusters=(cluster("a"),)),
        files={"cds.yaml": cds(cluster("a", ["b"]), cluster("b"))},
        calls=[get("/b"), get(), write("cds.yaml", cds()), fails("/b"), get()],
        expect=[status(200, 200, 503, 200), bodies("b", "a", "", "a")],
    ),
    Scenario(
        "cds_wrong_in_parts",
        "of an update with a cluster that cannot be, the others are taken: it stays as it was, the missing one goes",
        rule="8.3 CDS partial",
        upstreams=BOTH,
        policy=with_cds(route("new", "/new"), route("bad", "/bad"), route("gone", "/gone")),
        files={"cds.yaml": cds(cluster("bad", ["a"]), cluster("gone", ["a"]))},
        calls=[
            get("/gone"),
            write("cds.yaml", cds(cluster("bad", [endpoint("b", host="localhost")]), cluster("new", ["b"]))),
            became("b", path="/new"),
            get("/bad"),
            get("/gone"),
        ],
        expect=[status(200, 200, 200, 503), bodies("a", "b", "a", "")],
    ),
    Scenario(
        "cds_breaks_the_schema",
        "one value out of range, and nothing of the update is taken",
        rule="8.3 CDS rejected",
        upstreams=BOTH,
        policy=with_cds(route("new", "/new"), route("x")),
        files={"cds.yaml": cds(cluster("x", ["a"]))},
        calls=[
            write("cds.yaml", cds(cluster("new", ["b"]), cluster("x", ["b"], connect_timeout="0s"))),
            IGNORED,
            get("/new"),
            get(),
        ],
        expect=[status(503, 200), bodies("", "a")],
    ),
    Scenario(
        "cds_same_name_twice",
        "of two clusters of one name the first is taken",
        rule="8.3 CDS duplicates",
        upstreams=BOTH,
        policy=with_cds(route("x")),
        files={"cds.yaml": cds()},
        calls=[write("cds.yaml", cds(cluster("x", ["a"]), cluster("x", ["b"]))), became("a")],
        expect=[status(200), hits(a=1, b=0)],
    ),
    Scenario(
        "cds_unchanged_cluster_keeps_its_connections",
        "a cluster that is as it was is not touched by the update of another",
        rule="8.3 CDS",
        upstreams=BOTH,
        policy=with_cds(route("late", "/late"), route("x")),
        files={"cds.yaml": cds(cluster("x", ["a"]), cluster("late", ["b"]))},
        calls=[
            get(),
            get("/late"),
            write("cds.yaml", cds(cluster("x", ["a"]), cluster("late", ["a"]))),
            became("a", path="/late"),
            get(),
        ],
        expect=[status(*[200] * 4), connections(a=2, b=1)],
    ),
    Scenario(
        "cds_changed_thresholds",
        "changed thresholds hold for new calls",
        rule="8.3 CDS, 4",
        upstreams={"a": Reply(200).later(0.4), "b": 200},
        policy=with_cds(route("late", "/late"), route("x")),
        files={"cds.yaml": cds(cluster("x", ["a"]))},
        calls=[
            Together([get(), get()]),
            write("cds.yaml", cds(cluster("x", ["a"], **thresholds(max_requests=1)), cluster("late", ["b"]))),
            became("b", path="/late"),
            Together([get(), get()], stagger=0.1),
        ],
        expect=[status(200, 200, 200, 200, 503)],
    ),
    Scenario(
        "cds_removed_cluster_finishes",
        "a call on a cluster that is removed is finished",
        rule="8.3 CDS",
        upstreams={"a": LONG, "b": 200},
        policy=with_cds(route("x", "/slow"), route("late")),
        files={"cds.yaml": cds(cluster("x", ["a"]))},
        calls=[Together([get("/slow"), write("cds.yaml", cds(cluster("late", ["b"]))), became("b")], stagger=0.15)],
        expect=[status(200, 200), bodies("a", "b"), took(1.15, 4.0, 0)],
    ),
    Scenario(
        "cds_retry_after_removal",
        "a retry looks its cluster up again: gone, 503 no healthy upstream",
        rule="8.3 CDS, 3.6",
        upstreams={"a": Reply(503).later(0.9), "b": 200},
        policy=with_cds(route("x", "/slow", retry_policy=retry("5xx", 2)), route("late")),
        files={"cds.yaml": cds(cluster("x", ["a"]))},
        calls=[Together([get("/slow"), write("cds.yaml", cds(cluster("late", ["b"]))), became("b")], stagger=0.15)],
        expect=[status(503, 200), body("no healthy upstream", 0), hits(a=1)],
    ),
    Scenario(
        "cds_changed_cluster_warms_up",
        "a changed cluster takes over when its first health check is done; until then the old one serves",
        rule="8.4 warming",
        upstreams={"a": 200, "b": Upstream(200, health=Reply(200).later(0.8))},
        policy=with_cds(route("x")),
        files={"cds.yaml": cds(cluster("x", ["a"]))},
        calls=[
            get(),
            write("cds.yaml", cds(cluster("x", ["b"], health_checks=[health_check()]))),
            wait_for(lambda run: bool(run.at("b").checks)),
            get(),
            became("b"),
        ],
        expect=[bodies("a", "a", "b")],
    ),
    Scenario(
        "cds_brings_eds",
        "a discovered cluster may discover its endpoints",
        rule="8.3 CDS and EDS",
        upstreams=BOTH,
        policy=with_cds(route("x")),
        files={"cds.yaml": cds(), "eds.yaml": eds("a", name="x")},
        calls=[
            write("cds.yaml", cds(by_eds("x"))),
            became("a"),
            write("eds.yaml", eds("b", name="x")),
            became("b"),
        ],
        expect=[bodies("a", "b")],
    ),
]

LISTENERS = [
    Scenario(
        "lds_changes_routes",
        "a changed listener serves new calls by its new routes, and none fails",
        rule="8.3 LDS",
        upstreams=BOTH,
        policy=with_lds(),
        files={"lds.yaml": lds(main(route("a")))},
        calls=[times(2, get()), write("lds.yaml", lds(main(route("b")))), became("b"), times(2, get())],
        expect=[status(*[200] * 5), spread({"b": 3}, 2)],
    ),
    Scenario(
        "lds_comes_and_goes",
        "a listener is called as soon as it is there, and refuses connections when it is gone",
        rule="8.3 LDS",
        upstreams=BOTH,
        policy=with_lds(main(route("a"))),
        files={"lds.yaml": lds()},
        calls=[
            write("lds.yaml", lds(main(route("b"), name="more"))),
            Until(get(listener="more"), lambda outcome: outcome.status == 200),
            get(),
            write("lds.yaml", lds()),
            Until(get(listener="more"), lambda outcome: outcome.error is not None),
        ],
        expect=[status(200, 200, "transport-error"), hits(a=1)],
    ),
    Scenario(
        "lds_one_by_one",
        "a listener that cannot be stays as it was, alone; a written one's name has no effect",
        rule="8.3 LDS partial",
        upstreams=BOTH,
        policy=with_lds(main(route("a"))),
        files={"lds.yaml": lds(main(route("a"), name="more"))},
        calls=[
            write(
                "lds.yaml",
                lds(main(route("nowhere"), name="more"), main(route("b")), main(route("b"), name="new")),
            ),
            Until(get(listener="new"), lambda outcome: outcome.text == "b"),
            get(listener="more"),
            get(),
        ],
        expect=[bodies("b", "a", "a")],
    ),
    Scenario(
        "lds_written_listener_stays",
        "a discovered listener with the name of a written one is not taken, at another address either",
        rule="8.3 LDS",
        upstreams={**BOTH, "elsewhere": Upstream(kind="refused")},
        policy=with_lds(main(route("a"))),
        files={"lds.yaml": lds(main(route("b"), address=at("elsewhere")), main(route("b"), name="more"))},
        calls=[Until(get(listener="more"), lambda outcome: outcome.text == "b"), get(), get(listener="elsewhere")],
        expect=[status(200, 200, "transport-error"), bodies("b", "a", "")],
    ),
    Scenario(
        "lds_call_under_way_is_finished",
        "a call on a listener that is removed is finished",
        rule="8.3 LDS drains",
        upstreams={"a": Reply(200).later(0.7), "b": 200},
        policy=with_lds(main(route("b"))),
        files={"lds.yaml": lds(main(route("a"), name="more"))},
        calls=[
            Together(
                [
                    get("/slow", listener="more"),
                    write("lds.yaml", lds(main(route("b"), name="new"))),
                    Until(get(listener="new"), lambda outcome: outcome.text == "b"),
                ],
                stagger=0.15,
            )
        ],
        expect=[status(200, 200), bodies("a", "b"), took(0.65, 4.0, 0)],
    ),
]

SCENARIOS = [*ENDPOINTS, *ROUTES, *CLUSTERS, *LISTENERS]
