"""Whatever an application sends: an answer, or an exception of httpx's; never a stray one, and never a leak."""

from __future__ import annotations

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from .documents import cluster, header, listener, policy, route, vhost
from .harness import MODES, Spec

DOCUMENT = policy(
    listener(
        vhost(
            "*.shop.test",
            "api.*",
            routes=[
                route(
                    match={"prefix": "/api/"},
                    prefix_rewrite="/v/",
                    host_rewrite_path_regex={"pattern": {"regex": "^/(.+)/.*"}, "substitution": "\\1"},
                )
            ],
        ),
        vhost(
            routes=[
                {
                    "match": {"safe_regex": {"regex": "/r/.*"}},
                    "redirect": {"prefix_rewrite": "/q", "strip_query": True},
                },
                {
                    **route(
                        match={"prefix": "/", "headers": [{"name": "x-a", "string_match": {"contains": "a"}}]},
                        regex_rewrite={"pattern": {"regex": "[^/]"}, "substitution": "x"},
                        host_rewrite_header="x-b",
                    ),
                    "request_headers_to_add": [header("x-c", "%REQ(x-a)% %REQ(:PATH)% %REQ(:AUTHORITY)%")],
                    "response_headers_to_add": [header("x-e", "%REQ(x-b)%")],
                },
                route(auto_host_rewrite=True, retry_policy={"retry_on": "5xx"}),
            ]
        ),
        manager={
            "normalize_path": True,
            "merge_slashes": True,
            "use_remote_address": True,
            "internal_address_config": {},
            "via": "mesh",
        },
    ),
    clusters=[cluster()],
)
SPECS = {
    (mode, replies): Spec(mode).given(DOCUMENT, 200, 503, local_replies=replies)
    for mode in MODES
    for replies in ("raise", "response")
}

NAMES = (
    "host", "x-a", "x-b", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "te", "connection", "referer", "via",
    "cookie", "content-type", "x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
)  # fmt: skip
ODD = (
    b"", b"a", b"5xx", b"-1", b"99999999999999999999", b"1.5", b"10.0.0.1", b"::1", b"x,y", b"application/grpc",
    b"application/grpc+x", b"http://a@b/", b"api.x", b"[::1]:80", b"a:b:c", b":", b"[", b"127.0.0.1:", b"caf\xe9",
)  # fmt: skip
values = st.sampled_from(ODD) | st.binary(max_size=12).filter(lambda value: not {0, 10, 13} & set(value))
headers_lists = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    spec=st.sampled_from(list(SPECS.values())),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PURGE"]),
    path=st.text(alphabet="/abr.%2fé?#&;\\ €", max_size=20),
    headers=headers_lists,
)
def test_any_request_is_answered_or_refused(
    spec: Spec, method: str, path: str, headers: list[tuple[str, bytes]]
) -> None:
    """No request makes the library raise anything but what httpx's callers expect."""
    lines = [(name.encode(), value) for name, value in headers]
    try:
        request = spec.client.build_request(method, f"http://127.0.0.1:15001/{path}", headers=lines)
    except (httpx.InvalidURL, ValueError):
        return  # httpx itself refuses it
    try:
        response = spec.wait(spec.client.send(request))
    except httpx.TransportError as error:
        assert error.request is not None
    else:
        assert "ambassador" in response.extensions
    spec.assert_nothing_held()
