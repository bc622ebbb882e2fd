"""What a connection manager makes of a request's head beyond its defaults (semantics 1.1 to 1.4, 11.1), each verified
on Envoy 1.40."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .documents import bootstrap, header, listener, policy, vhost
from .harness import Spec, story

Document = dict[str, Any]


def sent(spec: Spec) -> httpx.Request:
    """Return the last request as the upstream saw it."""
    request: httpx.Request = spec.upstream.seen[-1]
    return request


def target(spec: Spec) -> str:
    return sent(spec).url.raw_path.decode()


@pytest.mark.parametrize(
    ("manager", "path", "headers", "status", "details"),
    [
        ({"max_request_headers_kb": 1}, "/", {"x": "a" * 700}, 200, "via_upstream"),
        ({"max_request_headers_kb": 1}, "/", {"x": "a" * 1000}, 431, "http1.headers_too_large"),
        ({"max_request_headers_kb": 1}, "/" + "a" * 1000, {}, 431, "http1.headers_too_large"),
        ({}, "/" + "a" * 61_000, {}, 200, "via_upstream"),
        ({}, "/", {"x": "a" * 62_000}, 431, "http1.headers_too_large"),
        ({"common_http_protocol_options": {"max_headers_count": 9}}, "/", {"a": "", "b": ""}, 200, "via_upstream"),
        (
            {"common_http_protocol_options": {"max_headers_count": 5}},
            "/", {"a": "", "b": "", "c": ""}, 431, "http1.too_many_headers",
        ),
        ({}, "/", {"connection": "x-forwarded-proto"}, 400, "http1.connection_header_rejected"),
        ({}, "/", {"connection": "x-a, :path"}, 400, "http1.connection_header_rejected"),
        ({}, "/", {"connection": "host"}, 400, "missing_host_header"),
        ({}, "/", {"host": "foo com"}, 400, "http.invalid_authority"),
        ({}, "/", {"host": "foo.com/"}, 400, "http.invalid_authority"),
        ({}, "/", {"host": "user@foo.com:a:b"}, 200, "via_upstream"),
        ({}, "/", {"x-forwarded-proto": ""}, 404, "route_not_found"),
        ({}, "/", {"x-forwarded-proto": "ftp"}, 200, "via_upstream"),
    ],
)  # fmt: skip
def test_heads_that_are_refused(
    spec: Spec, manager: Document, path: str, headers: dict[str, str], status: int, details: str
) -> None:
    """What Envoy's codec would not let in is refused with its words, whatever the policy's routes are."""
    response = spec.given(bootstrap(manager=manager), 200, local_replies="response").get(path, headers=headers)
    assert (response.status_code, story(response).details) == (status, details)
    if status == 431:
        assert response.text == "Request Header Fields Too Large"
        assert story(response).flags == ["DPE"]


@pytest.mark.parametrize(
    ("te", "expected"),
    [("trailers", "trailers"), ("gzip, trailers", "trailers"), ("trailers;q=0.5", None), ("Trailers", None)],
)
def test_te_is_trailers_or_nothing(spec: Spec, te: str, expected: str | None) -> None:
    """Only the bare token goes on."""
    spec.given(bootstrap(), 200).get(headers={"te": te})
    assert sent(spec).headers.get("te") == expected


@pytest.mark.parametrize(
    ("action", "path", "expected"),
    [
        ("KEEP_UNCHANGED", "/a%2Fb%5cc?x=%2f", "/a%2Fb%5cc?x=%2f"),
        ("IMPLEMENTATION_SPECIFIC_DEFAULT", "/a%2Fb", "/a%2Fb"),
        ("UNESCAPE_AND_FORWARD", "/a%2Fb?x=%2f", "/a/b?x=%2f"),
        ("REJECT_REQUEST", "/a?x=%2f", "/a?x=%2f"),
        ("UNESCAPE_AND_REDIRECT", "/a", "/a"),
    ],
)
def test_escaped_slashes(spec: Spec, action: str, path: str, expected: str) -> None:
    """Source: `path_with_escaped_slashes_action`; the query is left alone."""
    spec.given(bootstrap(manager={"path_with_escaped_slashes_action": action}), 200).get(path)
    assert target(spec) == expected


def test_escaped_slashes_are_refused_or_sent_elsewhere(spec: Spec) -> None:
    """400 with nothing in it, or 307 to the path without them, normalised where that is asked for."""
    manager = {"path_with_escaped_slashes_action": "REJECT_REQUEST"}
    response = spec.given(bootstrap(manager=manager), local_replies="response").get("/a%5Cb")
    assert (response.status_code, response.content) == (400, b"")
    manager = {"path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT", "normalize_path": True}  # type: ignore[dict-item]
    response = spec.given(bootstrap(manager=manager), local_replies="response").get("/a%2f../b?q")
    assert (response.status_code, response.headers["location"]) == (307, "/b?q")
    assert story(response).details == "path_normalization_failed"


@pytest.mark.parametrize(
    ("hops", "remote", "forwarded", "external", "internal"),
    [
        (1, True, None, None, "true"),
        (1, True, "10.0.0.1", "10.0.0.1", None),
        (1, True, "10.0.0.1, 10.0.0.2", "10.0.0.2", None),
        (2, True, "10.0.0.1", "127.0.0.1", None),
        (2, True, "8.8.8.8, 10.0.0.2", "8.8.8.8", None),
        (1, False, "10.0.0.1", None, None),
        (1, False, "10.0.0.1, 10.0.0.2", None, None),
    ],
)
def test_trusted_hops(
    spec: Spec, hops: int, remote: bool, forwarded: str | None, external: str | None, internal: str | None
) -> None:
    """Source: `xff_num_trusted_hops`: that many proxies are believed; who passed any is not internal."""
    manager = {"xff_num_trusted_hops": hops, "use_remote_address": remote, "internal_address_config": {}}
    spec.given(bootstrap(manager=manager), 200).get(headers={"x-forwarded-for": forwarded} if forwarded else {})
    assert sent(spec).headers.get("x-envoy-external-address") == external
    assert sent(spec).headers.get("x-envoy-internal") == internal


def test_a_trusted_hop_may_say_which_scheme_it_was(spec: Spec) -> None:
    """With `use_remote_address` the request's own word counts only behind trusted proxies."""
    for hops, expected in ((0, "http"), (1, "https")):
        manager = {"xff_num_trusted_hops": hops, "use_remote_address": True}
        spec.given(bootstrap(manager=manager), 200).get(headers={"x-forwarded-proto": "https"})
        assert sent(spec).headers["x-forwarded-proto"] == expected


@pytest.mark.parametrize(
    ("remote", "own", "expected"), [(False, None, "15001"), (False, "99", "99"), (True, "99", "15001")]
)
def test_the_port_is_appended(spec: Spec, remote: bool, own: str | None, expected: str) -> None:
    """Source: `append_x_forwarded_port`."""
    manager = {"append_x_forwarded_port": True, "use_remote_address": remote}
    spec.given(bootstrap(manager=manager), 200).get(headers={"x-forwarded-port": own} if own else {})
    assert sent(spec).headers["x-forwarded-port"] == expected


def test_the_node_names_the_application(spec: Spec) -> None:
    """Source: `add_user_agent`: the node's cluster, in place of what the request says of it, but not of its agent."""
    document = {**bootstrap(manager={"add_user_agent": True}), "node": {"id": "i", "cluster": "cl"}}
    spec.given(document, 200).get(headers={"x-envoy-downstream-service-cluster": "x", "user-agent": "me"})
    headers = sent(spec).headers
    assert headers.get_list("x-envoy-downstream-service-cluster") == ["cl"]
    assert headers["x-envoy-downstream-service-node"] == "i"
    assert headers["user-agent"] == "me"


def test_the_scheme_may_be_overwritten(spec: Spec) -> None:
    """Source: `scheme_header_transformation.scheme_to_overwrite`."""
    manager = {"scheme_header_transformation": {"scheme_to_overwrite": "https"}}
    spec.given(bootstrap(manager=manager), 200).get(headers={"x-forwarded-proto": "http"})
    assert sent(spec).headers["x-forwarded-proto"] == "https"


@pytest.mark.parametrize(("details", "expected"), [("FORWARD_ONLY", None), ("ALWAYS_FORWARD_ONLY", "Hash=1")])
def test_client_certificates_of_others(spec: Spec, details: str, expected: str | None) -> None:
    """The header goes on only where that is said for any connection: this one has no certificate."""
    manager = {"forward_client_cert_details": details}
    spec.given(bootstrap(manager=manager), 200).get(headers={"x-forwarded-client-cert": "Hash=1"})
    assert sent(spec).headers.get("x-forwarded-client-cert") == expected


@pytest.mark.parametrize(
    ("value", "status"), [("foo.com", 200), ("FOO.com", 200), ("bar", 201), ("", 201), (None, 404)]
)
def test_virtual_hosts_by_another_header(spec: Spec, value: str | None, status: int) -> None:
    """Source: `vhost_header`; without it there is no virtual host, not even that for all."""
    rest = vhost("*", routes=[{"match": {"prefix": "/"}, "direct_response": {"status": 201}}])
    document = policy(listener(vhost("foo.com"), rest, config={"vhost_header": "x-vh"}))
    response = spec.given(document, 200, local_replies="response").get(headers={} if value is None else {"x-vh": value})
    assert response.status_code == status


@pytest.mark.parametrize(
    ("path", "sent_on"),
    [("/a;x/b", "/a;x/b"), ("/a/b;y=1/c", "/n;y=1/c"), ("/a/b?q;z", "/n?q;z"), ("/a;/b", "/a;/b"), ("/a;b/c", None)],
)
def test_path_parameters_may_not_count(spec: Spec, path: str, sent_on: str | None) -> None:
    """They do not for the match; what begins with the prefix only without them is not rewritten."""
    table = {"ignore_path_parameters_in_path_matching": True}
    routes = [{"match": {"prefix": "/a/b"}, "route": {"cluster": "c", "prefix_rewrite": "/n"}}]
    response = spec.given(policy(listener(vhost(routes=routes), config=table)), 200, local_replies="response").get(path)
    assert response.status_code == (404 if sent_on is None else 200)
    assert sent_on is None or target(spec) == sent_on


COOKIES = [
    ("a=1", 201), ("b=2; a=1", 201), ('a="1"', 201), ("a=1; a=2", 201), ("a=2; a=1", 202), ("b=x1", 200), ("b=y", 202),
    ("A=1", 202), (" a = 1 ;c", 202), ("a", 202), ("a=1=1", 202), (None, 202), ("a=1;b=x", 201),
]  # fmt: skip


@pytest.mark.parametrize(("cookie", "status"), COOKIES)
def test_cookies(spec: Spec, cookie: str | None, status: int) -> None:
    """The first of a name counts, quotes do not; one that is missing fulfils an inverted condition."""
    conditions = [
        {"name": "a", "string_match": {"exact": "1"}},
        {"name": "b", "string_match": {"prefix": "x"}, "invert_match": True},
    ]
    routes: list[Document] = [
        {"match": {"prefix": "/", "cookies": [condition]}, "direct_response": {"status": 201 + number}}
        for number, condition in enumerate(conditions)
    ]
    routes.append({"match": {"prefix": "/"}, "direct_response": {"status": 200}})
    response = spec.given(bootstrap(routes=routes)).get(headers={"cookie": cookie} if cookie else {})
    assert response.status_code == status


@pytest.mark.parametrize(
    ("context", "status"),
    [({"presented": False}, 200), ({"presented": True}, 404), ({"validated": True}, 404), ({}, 200)],
)
def test_nobody_presents_a_certificate(spec: Spec, context: Document, status: int) -> None:
    """Source: `RouteMatch.tls_context`."""
    routes = [{"match": {"prefix": "/", "tls_context": context}, "direct_response": {"status": 200}}]
    assert spec.given(bootstrap(routes=routes), local_replies="response").get().status_code == status


@pytest.mark.parametrize(
    ("rewrite", "headers", "expected", "original"),
    [
        ("/n/%REQ(x-a)%%REQ(no)%/%REQ(:path)%", {"x-a": "v"}, "/n/v//a?q=1?q=1", "/a?q=1"),
        ("/n?z=%REQ(x-a)%", {"x-a": "v"}, "/n?z=v?q=1", "/a?q=1"),
        ("%REQ(x-a)%", {}, "/a?q=1", None),
    ],
)
def test_the_path_by_a_format(
    spec: Spec, rewrite: str, headers: dict[str, str], expected: str, original: str | None
) -> None:
    """Source: `RouteAction.path_rewrite`: the query stays, unset values are empty, nothing is no rewrite."""
    spec.given(bootstrap(route={"path_rewrite": rewrite}), 200).get("/a?q=1", headers=headers)
    assert target(spec) == expected
    assert sent(spec).headers.get("x-envoy-original-path") == original


@pytest.mark.parametrize(
    ("rewrite", "headers", "host"),
    [
        ("p-%REQ(x-a)%", {"x-a": "v"}, "p-v"),
        ("p-%REQ(x-a)%", {}, "p--"),
        ("%REQ(x-a)%", {"x-a": ""}, "127.0.0.1:15001"),
        ("%REQ(x-b)%", {}, "added"),
    ],
)
def test_the_host_by_a_format(spec: Spec, rewrite: str, headers: dict[str, str], host: str) -> None:
    """Source: `RouteAction.host_rewrite`: it sees headers that were added, unset values are a dash."""
    routes = [
        {
            "match": {"prefix": "/"},
            "route": {"cluster": "c", "host_rewrite": rewrite, "append_x_forwarded_host": True},
            "request_headers_to_add": [header("x-b", "added")],
        }
    ]
    spec.given(bootstrap(routes=routes), 200).get(headers=headers)
    assert sent(spec).headers["host"] == host
    was = None if host.startswith("127") else "127.0.0.1:15001"
    assert sent(spec).headers.get("x-envoy-original-host") == was
    assert sent(spec).headers.get("x-forwarded-host") == was


@pytest.mark.parametrize(
    ("method", "headers", "status", "details"),
    [
        ("PROPFIND", {}, 200, "via_upstream"),
        ("FOO", {}, 400, "http1.codec_error"),
        ("QUERY", {}, 400, "query_missing_content_type"),
        ("QUERY", {"content-type": "text/plain"}, 200, "via_upstream"),
    ],
)
def test_methods(spec: Spec, method: str, headers: dict[str, str], status: int, details: str) -> None:
    """Envoy's codec knows a list of methods, and QUERY needs a content type."""
    response = spec.given(bootstrap(), 200, local_replies="response").request(method, headers=headers)
    assert (response.status_code, story(response).details) == (status, details)


def test_any_method_may_be_allowed(spec: Spec) -> None:
    """Source: `http_protocol_options.allow_custom_methods`."""
    manager = {"http_protocol_options": {"allow_custom_methods": True}}
    assert spec.given(bootstrap(manager=manager), 200).request("FOO").status_code == 200


REFERERS = {
    "/relative": True, "a/b:c": True, "a:b": False, "http://x/#f": False, "https://u@h/": False, "HTTP://h/": True,
    "/a b": False, "*": True, "http:/x": False, "/a#f": False,
}  # fmt: skip


@pytest.mark.parametrize(("referer", "kept"), REFERERS.items())
def test_a_referer_that_is_no_clean_url_is_dropped(spec: Spec, referer: str, kept: bool) -> None:
    """Absolute or relative, without user information and fragment."""
    spec.given(bootstrap(), 200).get(headers={"referer": referer})
    assert ("referer" in sent(spec).headers) == kept


def test_only_100_continue_is_not_expected_any_more(spec: Spec) -> None:
    """Envoy answers it itself; any other expectation is the upstream's."""
    spec.given(bootstrap(), 200)
    for value, expected in (("100-continue", None), ("abc", "abc")):
        spec.get(headers={"expect": value})
        assert sent(spec).headers.get("expect") == expected
