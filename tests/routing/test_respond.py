"""Answers without an upstream (semantics 1.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ambassador_lib.call import Header
from ambassador_lib.policy.model.core import DataSource, RegexMatchAndSubstitute, RegexMatcher
from ambassador_lib.policy.model.route import (
    DirectResponseAction,
    NonForwardingAction,
    RedirectAction,
    Route,
    RouteMatch,
)

from .calls import add, call_to, compiled, direct, route, table, values, virtual_host


def answer(one: Route, target: str = "/", **call: Any) -> tuple[int, list[Header], bytes]:
    found = compiled(one).local_response(call_to(target, **call))
    assert found is not None
    return found


def test_a_forwarding_route_answers_nothing_itself() -> None:
    """`local_response` is None where the call goes to a cluster."""
    assert compiled(route()).local_response(call_to()) is None


def test_a_direct_response_with_a_body() -> None:
    """Text is framed as plain text."""
    assert answer(direct(418, "short and stout")) == (
        418,
        [(b"content-type", b"text/plain"), (b"content-length", b"15")],
        b"short and stout",
    )


@pytest.mark.parametrize(("status", "headers"), [(503, [(b"content-length", b"0")]), (204, []), (304, [])])
def test_a_direct_response_without_a_body(status: int, headers: list[Header]) -> None:
    """No body has no type, and where HTTP forbids a body no length either."""
    assert [header for header in answer(direct(status))[1] if header[0] != b"location"] == headers


def test_no_body_where_http_forbids_one() -> None:
    """A body configured for a 204 is dropped."""
    assert answer(direct(204, "text"))[2] == b""


@pytest.mark.parametrize("status", [201, 302])
def test_created_and_redirecting_statuses_tell_a_location(status: int) -> None:
    """Envoy adds the request's own URL."""
    headers = answer(direct(status), "/a?b", host="svc.test:80")[1]
    assert values(headers, "location") == ["http://svc.test:80/a?b"]


def test_mutations_of_a_direct_response() -> None:
    """A content type that a mutation added is the only one; the status is not on record yet, so it renders 0."""
    one = direct(
        200, "{}", response_headers_to_add=(add("content-type", "application/json"), add("x", "%RESPONSE_CODE%"))
    )
    found = compiled(one)
    assert found.local_response(call_to()) == (
        200,
        [(b"content-type", b"application/json"), (b"x", b"0"), (b"content-length", b"2")],
        b"{}",
    )
    assert not found.changes_response


def test_an_empty_answer_has_no_content_type() -> None:
    """A content type without a body is taken away."""
    one = direct(404, response_headers_to_add=(add("content-type", "application/json"),))
    assert answer(one)[1] == [(b"content-length", b"0")]


def test_bodies_from_a_file_bytes_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source of data will do; a file is read when the table is built."""
    file = tmp_path / "body"
    file.write_bytes(b"from file")
    monkeypatch.setenv("BODY", "from environment")
    sources = [
        DataSource(filename=str(file)),
        DataSource(inline_bytes=b"\x00\xff"),
        DataSource(environment_variable="BODY"),
        DataSource(),
    ]
    tables = [compiled(route(direct_response=DirectResponseAction(status=200, body=source))) for source in sources]
    file.unlink()
    bodies = [answered[2] for one in tables if (answered := one.local_response(call_to()))]
    assert bodies == [b"from file", b"\x00\xff", b"from environment", b""]


@pytest.mark.parametrize("source", [DataSource(filename="no/such/file"), DataSource(environment_variable="NO_SUCH")])
def test_a_body_that_is_not_there_is_refused(source: DataSource) -> None:
    """What cannot be read is a ValueError when the table is built."""
    with pytest.raises(ValueError, match=r"(?i)no.such"):
        compiled(route(direct_response=DirectResponseAction(status=200, body=source)))


def test_grpc_callers_get_trailers_only() -> None:
    """The status becomes gRPC's, the body its message, percent-encoded."""
    status, headers, body = answer(direct(503, "50% é"), headers=[("content-type", "application/grpc")])
    assert (status, body) == (200, b"")
    assert headers == [
        (b"content-length", b"0"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"14"),
        (b"grpc-message", b"50%25 %C3%A9"),
    ]


def regex(pattern: str, substitution: str) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(pattern=RegexMatcher(regex=pattern), substitution=substitution)


@pytest.mark.parametrize(
    ("action", "location"),
    [
        ({"host_redirect": "new.test"}, "http://new.test/pre/x?q=1"),
        ({"path_redirect": "/there"}, "http://old.test/there?q=1"),
        ({"path_redirect": "/there?a=b"}, "http://old.test/there?a=b"),
        ({"path_redirect": "/there?a=b", "strip_query": True}, "http://old.test/there?a=b"),
        ({"path_redirect": "/there", "strip_query": True}, "http://old.test/there"),
        ({"https_redirect": True}, "https://old.test/pre/x?q=1"),
        ({"https_redirect": False}, "http://old.test/pre/x?q=1"),
        ({"scheme_redirect": "ftp"}, "ftp://old.test/pre/x?q=1"),
        ({"port_redirect": 8443}, "http://old.test:8443/pre/x?q=1"),
        ({"prefix_rewrite": "/post"}, "http://old.test/post/x?q=1"),
        ({"host_redirect": "new.test", "strip_query": True}, "http://new.test/pre/x"),
        ({"regex_rewrite": regex("^/pre/([a-z]+)", r"/to/\1")}, "http://old.test/to/x?q=1"),
        ({"regex_rewrite": regex("^/", "")}, "http://old.test/pre/x?q=1"),
    ],
)
def test_redirects(action: dict[str, Any], location: str) -> None:
    """The location is absolute; what the action does not name stays as requested."""
    one = route(match=RouteMatch(prefix="/pre"), redirect=RedirectAction(**action))
    assert answer(one, "/pre/x?q=1", host="old.test") == (
        301,
        [(b"location", location.encode()), (b"content-length", b"0")],
        b"",
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("MOVED_PERMANENTLY", 301),
        ("FOUND", 302),
        ("SEE_OTHER", 303),
        ("TEMPORARY_REDIRECT", 307),
        ("PERMANENT_REDIRECT", 308),
    ],
)
def test_redirect_codes(code: str, status: int) -> None:
    """Every response code there is."""
    assert answer(route(redirect=RedirectAction(host_redirect="n", response_code=code)))[0] == status


@pytest.mark.parametrize(
    ("host", "action", "proto", "location"),
    [
        ("r.test:80", {"https_redirect": True}, "http", "https://r.test/"),
        ("r.test:443", {"https_redirect": True}, "http", "https://r.test:443/"),
        ("r.test:8080", {"https_redirect": True}, "http", "https://r.test:8080/"),
        ("r.test:80", {"https_redirect": True}, "https", "https://r.test:80/"),
        ("r.test:443", {"scheme_redirect": "http"}, "https", "http://r.test/"),
        ("r.test:81", {"port_redirect": 80}, "http", "http://r.test:80/"),
        ("[::1]:80", {"https_redirect": True}, "http", "https://[::1]/"),
        ("[::1]", {"port_redirect": 81}, "http", "http://[::1]:81/"),
        ("r.test", {"path_redirect": "/"}, "https", "https://r.test/"),
    ],
)
def test_ports_in_redirects(host: str, action: dict[str, Any], proto: str, location: str) -> None:
    """A port goes where another takes its place, or where it was the default of a scheme that is left."""
    one = route(redirect=RedirectAction(**action))
    headers = answer(one, host=host, headers=[("x-forwarded-proto", proto)])[1]
    assert values(headers, "location") == [location]


@pytest.mark.parametrize(
    ("one", "status", "details", "flags"),
    [
        (direct(200), 200, "direct_response", []),
        (route(redirect=RedirectAction(host_redirect="n")), 301, "direct_response", []),
        (route(non_forwarding_action=NonForwardingAction()), 503, "cluster_not_found", ["NC"]),
    ],
)
def test_details_and_flags(one: Route, status: int, details: str, flags: list[str]) -> None:
    """The report says why the sidecar answered itself."""
    call = call_to()
    found = compiled(one)
    answered = found.local_response(call)
    assert answered is not None
    assert (answered[0], call.report.details, call.report.flags) == (status, details, flags)


def test_mutations_of_all_levels_reach_an_answer() -> None:
    """Direct responses and redirects carry what route, virtual host and route configuration add."""
    one = route(redirect=RedirectAction(host_redirect="n.test"), response_headers_to_add=(add("x-l", "route"),))
    routes = table(
        virtual_host(one, response_headers_to_add=(add("x-l", "vhost"),)),
        response_headers_to_add=(add("x-l", "rc"),),
    )
    answered = routes.routes[0].local_response(call_to())
    assert answered is not None
    assert values(answered[1], "x-l") == ["route", "vhost", "rc"]
