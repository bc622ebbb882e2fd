"""Listeners, routes, clusters and endpoints from files, changed while calls run (semantics 8.3)."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorTransport, NoHealthyUpstreamError, NoRouteError, PolicyError
from ambassador_lib.errors import LocalReplyError
from ambassador_lib.policy import Policy
from ambassador_lib.runtime import log_writer
from ambassador_lib.testing.clock import FakeClock

from . import documents
from .documents import cluster, listener, policy, route, vhost
from .harness import Spec

V3 = "type.googleapis.com/envoy.config."


class BackgroundStands(FakeClock):
    """Virtual time in which only the test moves what runs in the background: nothing there ever wakes up."""

    async def sleep_async(self, seconds: float) -> None:
        if threading.current_thread().name == "ambassador_lib-control":
            await asyncio.get_running_loop().create_future()
        await super().sleep_async(seconds)


class Files:
    """The discovery files of one case."""

    def __init__(self, folder: pathlib.Path, spec: Spec) -> None:
        self.folder = folder
        self.spec = spec
        spec.clock = BackgroundStands()

    def source(self, name: str, **more: Any) -> dict[str, Any]:
        return {"resource_api_version": "V3", "path_config_source": {"path": os.fspath(self.folder / name), **more}}

    def put(self, name: str, *resources: dict[str, Any]) -> None:
        self.put_text(name, json.dumps({"version_info": "1", "resources": resources}))

    def put_text(self, name: str, text: str) -> None:
        """Move a file to its place, as one should, and let it be seen if somebody follows it."""
        beside = self.folder / f".{name}"
        beside.write_text(text)
        beside.replace(self.folder / name)
        if self.spec.transport is not None:
            for _ in range(2):
                self.spec.transport._at_work.parts.files.look()

    @property
    def errors(self) -> dict[str, str]:
        """What could not be used, by the file's bare name."""
        found = self.spec.transport.discovery_errors
        return {pathlib.Path(path).name: str(error) for path, error in found.items()}


@pytest.fixture
def files(tmp_path: pathlib.Path, spec: Spec) -> Iterator[Files]:
    yield Files(tmp_path, spec)
    if spec.transport is not None:
        spec.close_transport()


def endpoints(*numbers: int, name: str = "c", **policy: Any) -> dict[str, Any]:
    found = {"@type": f"{V3}endpoint.v3.ClusterLoadAssignment", "cluster_name": name}
    return {**found, "endpoints": [{"lb_endpoints": [documents.endpoint(number) for number in numbers]}], **policy}


def table(*routes: dict[str, Any], name: str = "r", domains: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    found = {"@type": f"{V3}route.v3.RouteConfiguration", "name": name}
    return {**found, "virtual_hosts": [vhost(*domains, routes=list(routes))]}


def as_cluster(name: str, *numbers: int, **fields: Any) -> dict[str, Any]:
    made = cluster(name, groups=[{"lb_endpoints": [documents.endpoint(number) for number in numbers]}], **fields)
    return {"@type": f"{V3}cluster.v3.Cluster", **made}


def as_listener(*hosts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"@type": f"{V3}listener.v3.Listener", **listener(*hosts, **fields)}


def eds(files: Files, **fields: Any) -> dict[str, Any]:
    config = {"eds_config": files.source("eds.json"), **fields.pop("config", {})}
    return {"name": "c", "type": "EDS", "eds_cluster_config": config, **fields}


def by_rds(files: Files) -> dict[str, Any]:
    made = listener()
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["route_config"]
    manager["rds"] = {"route_config_name": "r", "config_source": files.source("rds.json")}
    return made


def with_clusters(files: Files, *written: dict[str, Any]) -> dict[str, Any]:
    """A policy whose route to `c` may be to a cluster that is not there yet."""
    made = policy(listener(vhost(), config={"validate_clusters": False}), clusters=list(written))
    return {**made, "dynamic_resources": {"cds_config": files.source("cds.json")}}


def called(spec: Spec) -> str:
    """The numbers of the endpoints that were called, in order."""
    return " ".join(endpoint.removeprefix("10.0.0.").removesuffix(":80") for endpoint in spec.endpoints)


# --- endpoints -------------------------------------------------------------------------------------------------------


def test_endpoints_come_from_the_file_and_follow_it(spec: Spec, files: Files) -> None:
    """An update moves new calls to the new endpoint, without a failure."""
    files.put("eds.json", endpoints(1))
    spec.given(policy(clusters=[eds(files)]))
    spec.get()
    files.put("eds.json", endpoints(2))
    spec.get()
    assert called(spec) == "1 2"
    assert files.errors == {}


def test_a_host_that_stays_keeps_what_is_known_of_it(spec: Spec, files: Files) -> None:
    """Hosts of the same address are the same hosts before and after an update; others' kept connections are not."""
    files.put("eds.json", endpoints(1, 2))
    spec.given(policy(clusters=[eds(files)]))
    first, second = spec.cluster.hosts
    gauge = spec.cluster.limits["DEFAULT"].host(second.key)
    files.put("eds.json", endpoints(1, 3))
    assert spec.cluster.hosts[0] is first
    assert gauge.retired


def test_a_call_on_a_removed_host_is_finished(spec: Spec, files: Files) -> None:
    """Removal concerns new calls: the response that is being read is read to its end."""
    files.put("eds.json", endpoints(1))
    spec.given(policy(clusters=[eds(files)]))
    response = spec.request("GET", stream=True)
    files.put("eds.json", endpoints(2))
    assert spec.read(response) == b"x"
    spec.get()
    assert called(spec) == "1 2"
    spec.assert_nothing_held()


def test_no_endpoints_empty_the_cluster_and_no_resource_does_not(spec: Spec, files: Files) -> None:
    """An assignment without endpoints is an answer (UH); a response without a resource is none."""
    files.put("eds.json", endpoints(1))
    spec.given(policy(clusters=[eds(files)]))
    files.put("eds.json")
    spec.get()
    files.put("eds.json", endpoints())
    with pytest.raises(NoHealthyUpstreamError):
        spec.get()
    assert files.errors == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resources: [", "eds.json:1:1: not JSON"),
        ("", "eds.json:1:1: not JSON"),
        (json.dumps({"resources": [endpoints(2, name="other")]}), "'other' is not what is expected, 'c'"),
        (json.dumps({"resources": [endpoints(2), endpoints(3, name="d")]}), "2 resources, where 'c' alone is expected"),
        (json.dumps({"resources": [table(route("c"))]}), "not a envoy.config.route.v3.RouteConfiguration"),
        (json.dumps({"resources": [{**endpoints(2), "policy": {"overprovisioning_factor": 0}}]}), "greater than 0"),
        (json.dumps({"resources": [endpoints(2)]}).replace("10.0.0.2", "localhost"), "'localhost' is not an IP"),
        ('{"resources": {}}', "eds.json:1:15: resources: expected a list, not a mapping"),
        ('{"resources": [5]}', "resources[0]: expected a mapping with @type, not the number 5"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_an_update_of_no_use_is_refused_and_the_last_one_stays(
    spec: Spec, files: Files, text: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason can be looked up, with its place, and is logged; the next good update ends it."""
    files.put("eds.json", endpoints(1))
    spec.given(policy(clusters=[eds(files)]))
    with caplog.at_level(logging.WARNING, "ambassador_lib.discovery"):
        if text == "\udcff":
            (files.folder / "x").write_bytes(b"\xff")
            (files.folder / "x").replace(files.folder / "eds.json")
            for _ in range(2):
                spec.transport._at_work.parts.files.look()
        else:
            files.put_text("eds.json", text)
    assert words in files.errors["eds.json"]
    assert words in caplog.text
    spec.get()
    assert called(spec) == "1"
    files.put("eds.json", endpoints(2))
    spec.get()
    assert called(spec) == "1 2"
    assert files.errors == {}


def test_unknown_fields_of_an_update_are_passed_over(spec: Spec, files: Files) -> None:
    """Strict in the bootstrap, lenient in what is discovered: as Envoy."""
    files.put("eds.json", endpoints(1))
    spec.given(policy(clusters=[eds(files)]))
    files.put("eds.json", {**endpoints(2), "no_such_field": 1})
    spec.get()
    assert called(spec) == "2"
    assert files.errors == {}


def test_a_service_name_is_what_the_endpoints_go_by(spec: Spec, files: Files) -> None:
    """`service_name` stands in the file in place of the cluster's name."""
    files.put("eds.json", endpoints(1, name="billing"))
    spec.given(policy(clusters=[eds(files, config={"service_name": "billing"})]))
    spec.get()
    assert called(spec) == "1"


def test_a_file_of_no_use_at_the_start_leaves_the_cluster_empty(spec: Spec, files: Files) -> None:
    """As Envoy starts; the next update fills it."""
    files.put_text("eds.json", "{")
    spec.given(policy(clusters=[eds(files)]))
    assert list(files.errors) == ["eds.json"]
    with pytest.raises(NoHealthyUpstreamError):
        spec.get()
    files.put("eds.json", endpoints(1))
    spec.get()
    assert called(spec) == "1"


def test_a_missing_file_is_a_policy_of_no_use(spec: Spec, files: Files) -> None:
    """Envoy does not start without it; nor do we, be it gone before the policy is read or after."""
    with pytest.raises(PolicyError, match=r"eds_config\.path_config_source\.path: .*eds\.json does not exist"):
        Policy.parse(policy(clusters=[eds(files)]))
    files.put("eds.json", endpoints(1))
    read = Policy.parse(policy(clusters=[eds(files)]))
    (files.folder / "eds.json").unlink()
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        spec.given(read)
    spec.transport = None


# --- routes ----------------------------------------------------------------------------------------------------------


def test_routes_come_from_the_file_and_follow_it(spec: Spec, files: Files) -> None:
    """A new table holds for new calls, its retry policy and timeout with it."""
    files.put("rds.json", table(route("c")))
    spec.given(policy(by_rds(files), clusters=[cluster(), cluster("d")]), 503)
    assert spec.get().status_code == 503
    retried = {"match": {"prefix": "/"}, "route": {"cluster": "d", "retry_policy": {"retry_on": "5xx"}}}
    files.put("rds.json", table(retried))
    response = spec.get()
    assert response.extensions["ambassador"].cluster == "d"
    assert len(response.extensions["ambassador"].attempts) == 2


def test_a_call_under_way_keeps_its_route(spec: Spec, files: Files) -> None:
    """Routes that change while a response is read change nothing for it."""
    files.put("rds.json", table(route("c")))
    spec.given(policy(by_rds(files), clusters=[cluster()]))
    response = spec.request("GET", stream=True)
    files.put("rds.json", table(route("nowhere")))
    assert spec.read(response) == b"x"
    with pytest.raises(LocalReplyError) as caught:
        spec.get()
    assert caught.value.response is not None
    assert (caught.value.response.status_code, caught.value.call.flags) == (503, ["NC"])


def test_a_redirect_is_followed_while_routes_change(spec: Spec, files: Files) -> None:
    """A call keeps to the routes that it began with, wherever an answer sends it."""
    files.put("rds.json", table(route(name="old", internal_redirect_policy={})))
    spec.given(policy(by_rds(files)), lambda _request: changed(), 200, 200)

    def changed() -> httpx.Response:
        files.put("rds.json", table(route(name="new", internal_redirect_policy={})))
        return httpx.Response(302, headers={"location": "http://127.0.0.1:15001/final"})

    assert spec.get("/x").extensions["ambassador"].route == "old"
    assert spec.get("/x").extensions["ambassador"].route == "new"


def test_a_table_may_ask_for_clusters_that_are_there(spec: Spec, files: Files) -> None:
    """`validate_clusters` makes an unknown cluster a reason to refuse the table; discovered clusters are known."""
    files.put("rds.json", table(route("c")))
    files.put("cds.json", as_cluster("found", 1))
    spec.given({**policy(by_rds(files)), "dynamic_resources": {"cds_config": files.source("cds.json")}})
    files.put("rds.json", {**table(route("nowhere")), "validate_clusters": True})
    assert "unknown cluster 'nowhere'" in files.errors["rds.json"]
    assert spec.get().extensions["ambassador"].cluster == "c"
    files.put("rds.json", {**table(route("found")), "validate_clusters": True})
    assert spec.get().extensions["ambassador"].cluster == "found"


def test_without_routes_nothing_is_found(spec: Spec, files: Files) -> None:
    """A table that never came: 404, at the listener's address."""
    files.put("rds.json")
    spec.given(policy(by_rds(files)))
    with pytest.raises(NoRouteError):
        spec.get()


def test_domains_of_discovered_routes_claim_urls(spec: Spec, files: Files) -> None:
    """Rule 2 goes by what is in force, and forgets what was found for a URL before."""
    files.put("rds.json", table(route("c"), domains=("one.test",)))
    spec.given(policy(by_rds(files)), unmatched="reject")
    spec.get("http://one.test/")
    files.put("rds.json", table(route("c"), domains=("two.test",)))
    spec.get("http://two.test/")
    with pytest.raises(NoRouteError):
        spec.get("http://one.test/")


# --- clusters --------------------------------------------------------------------------------------------------------


def test_clusters_come_change_and_go(spec: Spec, files: Files) -> None:
    """A cluster is there with the file that brings it, goes to its new endpoints, and is gone with its entry (NC)."""
    files.put("cds.json")
    spec.given(with_clusters(files))
    with pytest.raises(LocalReplyError, match="no cluster 'c'"):
        spec.get()
    files.put("cds.json", as_cluster("c", 1))
    spec.get()
    files.put("cds.json", as_cluster("c", 2))
    spec.get()
    assert called(spec) == "1 2"
    files.put("cds.json")
    with pytest.raises(LocalReplyError, match="no cluster 'c'"):
        spec.get()


def test_a_cluster_that_is_as_it_was_keeps_its_state(spec: Spec, files: Files) -> None:
    """Only what changed is made anew."""
    files.put("cds.json", as_cluster("c", 1), as_cluster("d", 1))
    spec.given(with_clusters(files))
    kept, changed = (spec.transport._at_work.clusters[name] for name in ("c", "d"))
    files.put("cds.json", as_cluster("c", 1), as_cluster("d", 2))
    assert spec.transport._at_work.clusters["c"] is kept
    assert spec.transport._at_work.clusters["d"] is not changed


def test_a_call_on_a_removed_cluster_is_finished(spec: Spec, files: Files) -> None:
    """What it took is given back to where it was taken."""
    files.put("cds.json", as_cluster("c", 1))
    spec.given(with_clusters(files))
    gone = spec.cluster
    response = spec.request("GET", stream=True)
    files.put("cds.json")
    assert spec.read(response) == b"x"
    assert (gone.limits["DEFAULT"].active, gone.hosts[0].active) == (0, 0)


def test_a_retry_goes_to_the_cluster_that_is_there_now(spec: Spec, files: Files) -> None:
    """A try looks its cluster up again: it may have been exchanged, or be gone (UH), while the first one ran."""
    files.put("cds.json", as_cluster("c", 1))
    retried = {"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}}
    made = with_clusters(files)
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"] = [vhost(routes=[retried])]

    def exchange(_request: httpx.Request) -> httpx.Response:
        files.put("cds.json", as_cluster("c", 2))
        return httpx.Response(503)

    def remove(_request: httpx.Request) -> httpx.Response:
        files.put("cds.json")
        return httpx.Response(503)

    spec.given(made, exchange, 200, remove)
    assert spec.get().status_code == 200
    assert called(spec) == "1 2"
    with pytest.raises(NoHealthyUpstreamError):
        spec.get()


def test_what_is_written_down_wins(spec: Spec, files: Files) -> None:
    """A discovered cluster of a written one's name has no effect, then or ever."""
    files.put("cds.json", as_cluster("c", 1))
    spec.given(with_clusters(files, cluster(groups=[{"lb_endpoints": [documents.endpoint(7)]}])))
    spec.get()
    files.put("cds.json", as_cluster("c", 2), as_cluster("d", 2))
    spec.get()
    files.put("cds.json")
    spec.get()
    assert called(spec) == "7 7 7"


def test_of_an_update_that_is_wrong_in_parts_the_rest_counts(spec: Spec, files: Files) -> None:
    """A cluster that breaks a rule beyond the schema stays as it was, alone; the update's other clusters are taken."""
    files.put("cds.json", as_cluster("c", 1), as_cluster("gone", 1))
    spec.given(with_clusters(files))
    bad = json.loads(json.dumps(as_cluster("c", 2)).replace("10.0.0.2", "localhost"))
    refused = as_cluster("x", 1, original_dst_lb_config={})
    files.put("cds.json", bad, as_cluster("new", 1), as_cluster("new", 2), refused)
    assert sorted(spec.transport._at_work.clusters) == ["c", "new"]
    told = files.errors["cds.json"].splitlines()
    assert ["is not an IP address" in told[0], "exists already" in told[1]] == [True, True]
    spec.get()
    spec.get("http://new/")
    assert called(spec) == "1 1"


def test_an_update_that_breaks_the_schema_changes_nothing(spec: Spec, files: Files) -> None:
    """One value out of range, and all of the update is refused."""
    files.put("cds.json", as_cluster("c", 1))
    spec.given(with_clusters(files))
    files.put("cds.json", as_cluster("new", 1), as_cluster("d", 1, connect_timeout="0s"))
    assert sorted(spec.transport._at_work.clusters) == ["c"]
    assert "resources[1].connect_timeout: must be greater than 0s" in files.errors["cds.json"]


def test_a_discovered_cluster_may_discover_its_endpoints(spec: Spec, files: Files) -> None:
    """A cluster whose file is missing is refused; what is followed for a cluster that goes is followed no longer."""
    found = {"@type": f"{V3}cluster.v3.Cluster", **eds(files)}
    files.put("cds.json")
    spec.given(with_clusters(files))
    files.put("cds.json", found)
    assert "eds.json does not exist" in files.errors["cds.json"]
    files.put("eds.json", endpoints(1))
    files.put("cds.json", {**found, "connect_timeout": "1s"})
    spec.get()
    files.put("eds.json", endpoints(2))
    spec.get()
    assert called(spec) == "1 2"
    files.put_text("eds.json", "{")
    assert list(files.errors) == ["eds.json"]
    files.put("cds.json")
    assert files.errors == {}
    assert len(spec.transport._at_work.parts.files._followed) == 1


def test_a_cluster_s_own_retry_policy_comes_and_goes_with_it(spec: Spec, files: Files) -> None:
    """`HttpProtocolOptions.retry_policy` of an update holds for new calls."""
    options = {documents.OPTIONS: {
        "@type": f"type.googleapis.com/{documents.OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "retry_policy": {"retry_on": "5xx"},
    }}  # fmt: skip
    files.put("cds.json", as_cluster("c", 1, typed_extension_protocol_options=options))
    spec.given(with_clusters(files), 503)
    assert len(spec.get().extensions["ambassador"].attempts) == 2
    files.put("cds.json", as_cluster("c", 1))
    assert len(spec.get().extensions["ambassador"].attempts) == 1


# --- listeners -------------------------------------------------------------------------------------------------------


def by_lds(files: Files, *written: dict[str, Any]) -> dict[str, Any]:
    made = policy(listener(), clusters=[cluster(), cluster("d")])
    made["static_resources"]["listeners"] = list(written)
    return {**made, "dynamic_resources": {"lds_config": files.source("lds.json")}}


def test_listeners_come_change_and_go(spec: Spec, files: Files) -> None:
    """What claims a URL follows the file; a listener that is gone claims it no more."""
    files.put("lds.json")
    spec.given(by_lds(files), unmatched="reject")
    with pytest.raises(NoRouteError):
        spec.get()
    files.put("lds.json", as_listener(vhost()))
    assert spec.get().extensions["ambassador"].cluster == "c"
    files.put("lds.json", as_listener(vhost(to="d")))
    assert spec.get().extensions["ambassador"].cluster == "d"
    response = spec.request("GET", stream=True)
    files.put("lds.json")
    assert spec.read(response) == b"x"
    with pytest.raises(NoRouteError):
        spec.get()


def test_access_logs_come_and_go_with_their_listener(spec: Spec, files: Files) -> None:
    """A listener in another's place logs to its own file; a file is let go with the last call that is logged to it."""

    def logging_to(name: str) -> dict[str, Any]:
        path = os.fspath(files.folder / name)
        return {"name": "x", "typed_config": {"@type": f"{documents.TYPE}.access_loggers.file.v3.FileAccessLog",
                "path": path, "log_format": {"text_format_source": {"inline_string": "%PATH%\n"}}}}  # fmt: skip

    def in_use() -> list[str]:
        gc.collect()
        return [pathlib.Path(path).name for path, file in log_writer._writer._files.items() if file.users]

    files.put("lds.json", as_listener(vhost(), manager={"access_log": [logging_to("0.log")]}))
    spec.given(by_lds(files))
    for number in range(1, 4):
        response = spec.request("GET", f"/{number}", stream=True)
        files.put("lds.json", as_listener(vhost(), manager={"access_log": [logging_to(f"{number}.log")]}))
        assert spec.read(response) == b"x"
        del response
    spec.get("/4")
    log_writer._writer.flush()
    assert [(files.folder / f"{number}.log").read_text() for number in range(4)] == ["/1\n", "/2\n", "/3\n", "/4\n"]
    assert in_use() == ["3.log"]


def test_listeners_that_cannot_be_are_refused_one_by_one(spec: Spec, files: Files) -> None:
    """A taken address and a route to nowhere keep the listener as it was; an address is free when its owner goes."""
    files.put("lds.json", as_listener(vhost(), name="a", port=1), as_listener(vhost(), name="b", port=2))
    spec.given(by_lds(files, listener(vhost(), name="written", port=9)), unmatched="reject")
    files.put(
        "lds.json",
        as_listener(vhost(to="nowhere"), name="a", port=1),
        as_listener(vhost(to="d"), name="written", port=9),
        as_listener(vhost(), name="c", port=9),
        as_listener(vhost(to="d"), name="e", port=2),
    )
    found = {port: spec.get(f"http://127.0.0.1:{port}/").extensions["ambassador"].cluster for port in (1, 2, 9)}
    assert found == {1: "c", 2: "d", 9: "c"}
    told = files.errors["lds.json"]
    assert "unknown cluster 'nowhere'" in told
    assert "the listener 'c' has an address of the listener 'written'" in told


def test_a_discovered_listener_may_discover_its_routes(spec: Spec, files: Files) -> None:
    """Its routes are followed as long as it is there."""
    files.put("rds.json", table(route("c")))
    files.put("lds.json", {"@type": f"{V3}listener.v3.Listener", **by_rds(files)})
    spec.given(by_lds(files))
    spec.get()
    files.put("rds.json", table(route("d")))
    assert spec.get().extensions["ambassador"].cluster == "d"
    files.put("lds.json")
    assert len(spec.transport._at_work.parts.files._followed) == 1


def test_a_listener_may_name_clusters_that_were_discovered(spec: Spec, files: Files) -> None:
    """Clusters come before listeners; a listener that is written down knows those that are written down alone."""
    files.put("cds.json", as_cluster("found", 1))
    files.put("lds.json", as_listener(vhost(to="found")))
    made = by_lds(files)
    made["dynamic_resources"]["cds_config"] = files.source("cds.json")
    spec.given(made)
    spec.get()
    assert called(spec) == "1"
    with pytest.raises(PolicyError, match="unknown cluster 'found'"):
        Policy.parse({**made, "static_resources": {"listeners": [listener(vhost(to="found"))]}})


def test_a_relative_url_goes_to_the_only_listener_there_is(spec: Spec, files: Files) -> None:
    """Discovered listeners count."""
    files.put("lds.json", as_listener(vhost()))
    spec.given_client(by_lds(files))
    assert spec.wait(spec.client.get("/x")).request.url == "http://127.0.0.1:15001/x"
    files.put("lds.json", as_listener(vhost()), as_listener(vhost(), name="b", port=2))
    assert spec.wait(spec.client.get("/x")).request.url == "/x"
    spec.wait(spec.client.close() if spec.is_blocking else spec.client.aclose())


# --- what can be looked at -------------------------------------------------------------------------------------------


def test_the_current_policy_is_the_written_one_with_what_was_found(spec: Spec, files: Files) -> None:
    """`policy` stays what was written; `current_policy` has the endpoints, routes, clusters and listeners in force."""
    files.put("eds.json", endpoints(1))
    files.put("rds.json", table(route("c")))
    files.put("cds.json", as_cluster("found", 1))
    files.put("lds.json", as_listener(vhost(), name="more", port=2))
    made = policy(by_rds(files), clusters=[eds(files)])
    made["dynamic_resources"] = {"cds_config": files.source("cds.json"), "lds_config": files.source("lds.json")}
    spec.given_client(made)
    written, current = spec.client.policy, spec.client.current_policy
    assert [each.name for each in written.clusters] == ["c"]
    assert [each.name for each in current.clusters] == ["c", "found"]
    assert [each.name for each in current.listeners] == ["main", "more"]
    (found,) = current.clusters[0].load_assignment.endpoints[0].lb_endpoints
    assert found.endpoint.address.socket_address.address == "10.0.0.1"
    assert current.listeners[0].http_connection_manager.route_config.name == "r"
    files.put_text("eds.json", "{")
    (path,) = spec.client.discovery_errors
    assert path == os.fspath(files.folder / "eds.json")
    assert isinstance(spec.client.discovery_errors[path], PolicyError)
    spec.wait(spec.client.close() if spec.is_blocking else spec.client.aclose())


def test_without_discovery_the_current_policy_is_the_policy(spec: Spec) -> None:
    """And nothing is followed, so no thread runs."""
    spec.given(policy())
    assert spec.transport.current_policy == spec.transport.policy
    assert spec.transport.discovery_errors == {}
    assert spec.transport._at_work.parts.files._watch is None


def test_nothing_is_left_behind(spec: Spec, files: Files) -> None:
    """Closing ends the watch and lets go of all files; so does dropping a transport that nobody closed."""
    files.put("eds.json", endpoints(1))
    before = set(threading.enumerate())
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    spec.given(policy(clusters=[eds(files)]))
    spec.close_transport()
    spec.transport = None
    dropped = AmbassadorTransport(policy(clusters=[eds(files)]), clock=BackgroundStands())
    watch = dropped._at_work.parts.files._watch
    del dropped
    gc.collect()
    assert watch.wait(10)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors
