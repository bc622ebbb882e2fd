"""The layers that every call passes once make of it as one coroutine what they make of it one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from ambassador_lib.call import CallReport
from ambassador_lib.errors import AmbassadorError
from ambassador_lib.handlers import admit
from ambassador_lib.stack import Stack
from ambassador_lib.upstream.statistics import COUNTS

from .documents import Document, cluster, header, listener, policy, route, vhost
from .harness import Body, Hang, Spec, Step

MANAGERS: tuple[Document, ...] = (
    {"via": "mesh"},
    {"internal_address_config": {}},
    {"use_remote_address": True},
    {"normalize_path": True, "merge_slashes": True},
    {"tracing": {"random_sampling": {"value": 50}}},
    {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    {"max_request_headers_kb": 1},
    {"request_timeout": "3s"},
    {"local_reply_config": {"mappers": [
        {"filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 500,
                                                                               "runtime_key": "none"}}}},
         "status_code": 599},
    ]}},
)  # fmt: skip
HOSTS: tuple[Document, ...] = (
    {"include_request_attempt_count": True},
    {"include_attempt_count_in_response": True},
    {"request_headers_to_add": [header("x-envoy-attempt-count", "7")]},
    {"request_headers_to_add": [header("x-at", "%REQ(:PATH)%")], "response_headers_to_remove": ["server"]},
    {"response_headers_to_add": [header("x-flags", "%RESPONSE_FLAGS%")]},
    {"retry_policy": {"retry_on": "5xx,connect-failure", "num_retries": 2}},
    {"require_tls": "EXTERNAL_ONLY"},
)
NAMED = [{"name": "x-a", "string_match": {"exact": "a"}}]
ROUTES: tuple[Document, ...] = (
    route(name="everything"),
    route(match={"prefix": "/a"}, prefix_rewrite="/b", host_rewrite_literal="x.test", name="rewritten"),
    route(match={"prefix": "/A", "case_sensitive": False}, prefix_rewrite="/caf\u00e9/", name="folded"),
    route(match={"path_separated_prefix": "/a"}, host_rewrite_header="x-b", append_x_forwarded_host=True),
    route(match={"prefix": "/", "headers": NAMED}, timeout="0.5s", name="named"),
    route(match={"safe_regex": {"regex": "/a.*"}}, regex_rewrite={"pattern": {"regex": "a"}, "substitution": "z"}),
    route(match={"prefix": "/a"}, auto_host_rewrite=True, max_stream_duration={"max_stream_duration": "1s"}),
    route(None, match={"prefix": "/a"}, cluster_header="x-b"),
    route(None, match={"prefix": "/a"}, weighted_clusters={"clusters": [
        {"name": "c", "weight": 1, "request_headers_to_add": [header("x-c", "1")], "host_rewrite_literal": "w.test"},
        {"name": "gone", "weight": 1, "response_headers_to_add": [header("x-d", "2")]},
    ]}),
    route(match={"prefix": "/a"}, internal_redirect_policy={"max_internal_redirects": 2}, name="following"),
    {"match": {"path": "/a"}, "direct_response": {"status": 203, "body": {"inline_string": "me"}},
     "response_headers_to_add": [header("x-own", "1")]},
    {"match": {"prefix": "/a/"}, "redirect": {"prefix_rewrite": "/q"}},
    {**route(match={"prefix": "/a"}), "request_headers_to_remove": ["x-a"],
     "request_headers_to_add": [header("x-envoy-original-path", "mine"), header("x-a", "z")]},
    {**route(match={"prefix": "/"}, prefix_rewrite="/p/"), "request_headers_to_add": [header("x-fixed", "1")]},
)  # fmt: skip
NAMES = (
    "x-a", "x-b", "x_c", "x-request-id", "x-forwarded-for", "connection", "expect", "content-type", "traceparent",
    "x-envoy-original-path", "x-envoy-original-host", "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response", "x-forwarded-proto",
)  # fmt: skip
VALUES = ("a", "c", "10.0.0.1", "close", "1", "", "https", "application/grpc", "a" * 1000)

merged = st.lists(st.sampled_from(MANAGERS), max_size=2).map(
    lambda parts: {k: v for part in parts for k, v in part.items()}
)
hosts = st.lists(st.sampled_from(HOSTS), max_size=2).map(
    lambda parts: {k: v for part in parts for k, v in part.items()}
)
routes = st.lists(st.sampled_from(ROUTES), min_size=1, max_size=3)
requests = st.tuples(
    st.sampled_from(["GET", "POST", "HEAD", "BREW"]),
    st.sampled_from(["/a", "/a/b?c=d", "/", "/other//x", "/%C3%A9"]),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3),
    st.sampled_from([None, b"whole", (b"in", b"parts"), (b"broken", ValueError), (b"broken", httpx.ReadError)]),
)
steps = st.sampled_from(["ok", "streamed", "broken", "redirect", "503", "refused", "slow"])


def played(step: str) -> Step:
    """Return a new step for each play."""
    error = httpx.ReadError("gone")
    return {
        "ok": lambda _: httpx.Response(200, headers={"server": "up", "x-own": "2"}, content=b"whole"),
        "streamed": lambda _: httpx.Response(200, stream=Body(b"a", b"b")),
        "broken": lambda _: httpx.Response(200, stream=Body(b"a", error=error)),
        "redirect": lambda _: httpx.Response(302, headers={"location": "http://127.0.0.1:15001/other"}, content=b""),
        "503": 503,
        "refused": httpx.ConnectError("refused"),
        "slow": Hang(20.0),
    }[step]  # type: ignore[return-value]


def body(parts: Any) -> Any:
    """Return a new body for each play: none, whole, streamed, or one that fails."""

    def stream() -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, type):
                raise part("the application's own")
            yield part

    return stream() if isinstance(parts, tuple) else parts


def kept(report: CallReport) -> Any:
    """Return all that a report tells."""
    return str(report), report.listener, report.route, report.cluster, report.status, report.duration, report.flags


def outcome(spec: Spec, method: str, path: str, headers: list[tuple[str, str]], parts: Any) -> Any:
    """Return all that the application sees of one call."""
    try:
        response = spec.request(method, path, headers=headers, content=body(parts))
    except Exception as error:  # noqa: BLE001 - whatever it is, both ways must raise it
        given = error.response if isinstance(error, AmbassadorError) else None
        reply = None if given is None else (given.status_code, given.headers.raw, given.content)
        return type(error), str(error), type(error.__cause__), reply, kept(error.call)  # type: ignore[attr-defined]
    return response.status_code, response.headers.raw, response.content, kept(response.extensions["ambassador"])


def play(
    document: Document, script: list[str], calls: list[Any], *, joined: bool = True, looks: bool = False, **options: Any
) -> Any:
    """Return what the application and the upstream see of these calls, and what the cluster counts.

    `looks`: layers look for a header of that name before they set one.
    """
    own = frozenset((b"x-forwarded-proto",)) if looks else admit.OWN  # which every call has
    with mock.patch.object(Stack, "joins", joined), mock.patch.object(admit, "OWN", own):
        spec = Spec("blocking").given(document, *map(played, script), **options)
        seen = [outcome(spec, *call) for call in calls]
        spec.assert_nothing_held()
        spec.close_transport()
    sent = [(one.method, one.url, one.headers.raw, one.extensions) for one in spec.upstream.seen]
    for *_, extensions in sent:
        extensions.pop("ambassador", None)
    counters = spec.cluster.counters
    counted = {name: getattr(counters, name) for name in (*COUNTS, "outlier_detection")}
    return seen, sent, spec.upstream.bodies, counted, spec.clock.monotonic()


@settings(max_examples=300, deadline=None)
@given(
    manager=merged,
    host=hosts,
    chosen=routes,
    calls=st.lists(requests, min_size=1, max_size=3),
    script=st.lists(steps, min_size=1, max_size=4),
    replies=st.sampled_from(["raise", "response"]),
)
def test_joined_layers_do_what_they_do_one_by_one(
    manager: Document, host: Document, chosen: list[Document], calls: list[Any], script: list[str], replies: str
) -> None:
    """Responses, errors, reports, what is sent and what is counted are the same, whatever the policy."""
    document = policy(
        listener(vhost(routes=chosen, **host), manager=manager, config={"validate_clusters": False}),
        clusters=[cluster(endpoints=2)],
    )
    one_by_one = play(document, script, calls, joined=False, local_replies=replies)
    assert play(document, script, calls, local_replies=replies) == one_by_one


@settings(max_examples=200, deadline=None)
@given(
    manager=merged,
    host=hosts,
    chosen=routes,
    calls=st.lists(requests, min_size=1, max_size=2),
    script=st.lists(steps, min_size=1, max_size=4),
)
def test_nobody_looks_for_headers_that_are_not_there(
    manager: Document, host: Document, chosen: list[Document], calls: list[Any], script: list[str]
) -> None:
    """What layers tell upstreams in headers of their own is told once, whoever else may have brought one."""
    document = policy(listener(vhost(routes=chosen, **host), manager=manager, config={"validate_clusters": False}))
    assert play(document, script, calls) == play(document, script, calls, looks=True)
