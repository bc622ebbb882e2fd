"""Hashing, subsets, retries' hosts, drops and degraded hosts (semantics 3.6 to 8.4), through the public transports."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError, NoHealthyUpstreamError
from ambassador_lib.testing.clock import FakeRandom

from .documents import bootstrap, cluster, endpoint, listener, policy, route, vhost
from .harness import Body, Spec, told

BY_KEY = [{"header": {"header_name": "x-key"}}]
RING = {"lb_policy": "RING_HASH"}


def labelled(number: int, **labels: Any) -> Any:
    return endpoint(number, metadata={"filter_metadata": {"envoy.lb": labels}})


def test_a_key_always_goes_to_the_same_endpoint(spec: Spec) -> None:
    """And different keys go to different ones."""
    spec.given(bootstrap(endpoints=4, route={"hash_policy": BY_KEY}, cluster=RING))
    for _ in range(2):
        for key in range(20):
            spec.get(headers={"x-key": str(key)})
    assert spec.endpoints[:20] == spec.endpoints[20:]
    assert len(set(spec.endpoints)) == 4
    spec.assert_nothing_held()


def test_a_made_cookie_sticks(spec: Spec) -> None:
    """The response brings the cookie, httpx sends it back, and all calls go to one endpoint."""
    cookie = [{"cookie": {"name": "stick", "ttl": "60s"}}]
    spec.given(bootstrap(endpoints=4, route={"hash_policy": cookie}, cluster=RING))
    first = spec.get()
    assert first.headers["set-cookie"].startswith('stick="')
    later = [spec.get() for _ in range(5)]
    assert len(set(spec.endpoints)) == 1
    assert not any("set-cookie" in response.headers for response in later)


def test_a_retry_stays_on_its_hash_unless_told_to_move(spec: Spec) -> None:
    """`previous_hosts` moves it along the ring."""
    retry = {"retry_on": "5xx", "num_retries": 3, "host_selection_retry_max_attempts": 9}
    spec.given(bootstrap(endpoints=4, route={"hash_policy": BY_KEY, "retry_policy": retry}, cluster=RING), 503)
    spec.get(headers={"x-key": "k"})
    assert len(set(spec.endpoints)) == 1
    typed = {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}
    moving = {**retry, "retry_host_predicate": [{"name": "x", "typed_config": typed}]}
    spec.given(bootstrap(endpoints=4, route={"hash_policy": BY_KEY, "retry_policy": moving}, cluster=RING), 503)
    spec.get(headers={"x-key": "k"})
    assert len(set(spec.endpoints)) == 4
    spec.assert_nothing_held()


def test_a_route_names_its_subset(spec: Spec) -> None:
    """And has no endpoint where there is no such subset."""
    members = [labelled(1, v="1"), labelled(2, v="1"), labelled(3, v="2")]
    subsets = {"lb_subset_config": {"subset_selectors": [{"keys": ["v"]}]}}

    def given(value: str) -> None:
        wanted = route(metadata_match={"filter_metadata": {"envoy.lb": {"v": value}}})
        members_of = cluster(groups=[{"lb_endpoints": members}], **subsets)
        spec.given(policy(listener(vhost(routes=[wanted])), clusters=[members_of]))

    given("1")
    for _ in range(4):
        spec.get()
    assert Counter(spec.endpoints) == {"10.0.0.1:80": 2, "10.0.0.2:80": 2}
    given("3")
    with pytest.raises(NoHealthyUpstreamError):
        spec.get()


def test_a_retry_goes_to_a_priority_that_was_not_tried(spec: Spec) -> None:
    """`previous_priorities`: P0 has failed, so P1 is next, and then P0 again."""
    kind = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    typed = {"@type": f"type.googleapis.com/{kind}", "update_frequency": 1}
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_priority": {"name": "x", "typed_config": typed}}
    groups = [{"priority": n, "lb_endpoints": [endpoint(n + 1)]} for n in (0, 1)]
    retried = listener(vhost(routes=[route(retry_policy=retry)]))
    spec.given(policy(retried, clusters=[cluster(groups=groups)]), 503)
    spec.get()
    assert spec.endpoints == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"]


@pytest.mark.parametrize(("percent", "flag", "words"), [(100, "UDO", "drops every"), (60, "DO", "dropped this")])
def test_an_overload_is_dropped_before_anything_is_sent(spec: Spec, percent: int, flag: str, words: str) -> None:
    """`drop_overloads`: an exception with Envoy's flag, and no try."""
    drops = [{"category": "x", "drop_percentage": {"numerator": percent}}]
    one = cluster()
    one["load_assignment"]["policy"] = {"drop_overloads": drops}
    spec.given(policy(clusters=[one]), random=FakeRandom(seed=2))
    failures = []
    for _ in range(20):
        try:
            spec.get()
        except LocalReplyError as error:
            failures.append(error)
    assert failures
    assert len(failures) + len(spec.upstream.seen) == 20
    assert told(failures[0]).flags == [flag]
    assert words in str(failures[0])
    assert told(failures[0]).attempts == []


def test_a_degraded_endpoint_is_spared_for_a_while(spec: Spec) -> None:
    """`detect_degraded_hosts`: while others can take the load it gets nothing, then its share again."""

    def answer(request: httpx.Request) -> httpx.Response:
        sick = request.extensions["ambassador_endpoint"] == "10.0.0.1:80" and spec.clock.monotonic() < begun + 5
        return httpx.Response(200, headers={"x-envoy-degraded": "true"} if sick else {}, stream=Body(b"x"))

    begun = spec.clock.monotonic()
    detecting = {"detect_degraded_hosts": True, "base_ejection_time": "10s", "interval": "1s"}
    spec.given(bootstrap(endpoints=4, cluster={"outlier_detection": detecting}), answer)
    for _ in range(4):
        spec.get()
    for _ in range(12):
        spec.get()
    assert "10.0.0.1:80" not in spec.endpoints[4:]
    spec.clock.advance(12)
    for _ in range(8):
        spec.get()
    assert Counter(spec.endpoints[16:])["10.0.0.1:80"] == 2


def test_what_counts_as_an_error_is_the_clusters_word(spec: Spec) -> None:
    """`error_matcher`: a 404 ejects, a 503 does not."""
    headers = [{"name": ":status", "string_match": {"exact": "404"}}]
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {
        kind: {
            "@type": f"type.googleapis.com/{kind}",
            "explicit_http_config": {"http_protocol_options": {}},
            "outlier_detection": {"error_matcher": {"http_response_headers_match": {"headers": headers}}},
        }
    }
    fields = {
        "typed_extension_protocol_options": options,
        "outlier_detection": {"consecutive_5xx": 3, "max_ejection_percent": 100},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    spec.given(bootstrap(cluster=fields), *[503] * 5, 404)
    for _ in range(8):
        spec.get()
    with pytest.raises(NoHealthyUpstreamError):
        spec.get()
    assert len(spec.upstream.seen) == 8
