"""What a route answers by itself: direct responses and redirects, which are responses and never exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from .documents import header
from .harness import Spec, bootstrap, story

MATCH = {"match": {"prefix": "/"}}


def answering(**answer: Any) -> Any:
    return bootstrap(routes=[{**MATCH, **answer}])


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_a_direct_response_is_a_response(spec: Spec, status: int, local_replies: Any) -> None:
    """Whatever its status: no exception, no try, and its own details."""
    answer = {"direct_response": {"status": status, "body": {"inline_string": "moved house"}}}
    response = spec.given(answering(**answer), local_replies=local_replies).get()
    assert (status, "moved house", "text/plain") == (
        response.status_code,
        response.text,
        response.headers["content-type"],
    )
    report = story(response)
    assert ("direct_response", [], [], None) == (report.details, report.flags, report.attempts, report.cluster)
    assert status == report.status
    assert report.duration is not None
    assert [] == spec.upstream.seen


@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_a_direct_response_can_be_streamed(spec: Spec, local_replies: Any) -> None:
    """`stream` and `iter_raw` work as on any response; what is there whole has ended before it is read."""
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    response = spec.given(answering(**answer), local_replies=local_replies).get(stream=True)
    assert story(response).duration is not None
    assert b"hello" == b"".join(spec.chunks(response))


def test_a_204_and_a_head_have_no_body(spec: Spec) -> None:
    """What has no body by its status or by its method has none."""
    answer = {"direct_response": {"status": 204, "body": {"inline_string": "ignored"}}}
    response = spec.given(answering(**answer)).get()
    assert (204, b"") == (response.status_code, response.content)
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    response = spec.given(answering(**answer)).request("HEAD")
    assert (200, b"", "5") == (response.status_code, response.content, response.headers["content-length"])


def test_mutations_reach_direct_responses_and_redirects(spec: Spec) -> None:
    """The response lists of all levels apply to a route's own answers."""
    added = {"response_headers_to_add": [header("x-added", "1")]}
    for answer in ({"direct_response": {"status": 200}}, {"redirect": {"host_redirect": "new.test"}}):
        assert "1" == spec.given(answering(**answer, **added)).get().headers["x-added"]


@pytest.mark.parametrize(
    ("redirect", "status", "location"),
    [
        ({"host_redirect": "new.test"}, 301, "http://new.test/a/b?q=1"),
        ({"host_redirect": "new.test", "response_code": "TEMPORARY_REDIRECT"}, 307, "http://new.test/a/b?q=1"),
        ({"port_redirect": 8080}, 301, "http://127.0.0.1:8080/a/b?q=1"),
        ({"https_redirect": True}, 301, "https://127.0.0.1:15001/a/b?q=1"),
        ({"path_redirect": "/c"}, 301, "http://127.0.0.1:15001/c?q=1"),
        ({"path_redirect": "/c?own=1"}, 301, "http://127.0.0.1:15001/c?own=1"),
        ({"prefix_rewrite": "/z/", "strip_query": True}, 301, "http://127.0.0.1:15001/z/a/b"),
    ],
)
def test_a_redirect_is_a_response(spec: Spec, redirect: dict[str, Any], status: int, location: str) -> None:
    """The location is absolute and the body empty; following it is httpx's business."""
    spec.given(answering(redirect=redirect))
    for stream in (False, True):
        response = spec.get("/a/b?q=1", stream=stream)
        assert b"" == spec.read(response)
        assert (status, location) == (response.status_code, response.headers["location"])
        assert [] == story(response).attempts
    assert [] == spec.upstream.seen


def test_httpx_follows_a_redirect(spec: Spec) -> None:
    """`follow_redirects=True` makes a new call of it, which the policy may claim again."""
    routes = [
        {"match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}},
        {"match": {"path": "/new"}, "route": {"cluster": "c"}},
    ]
    spec.given_client(bootstrap(routes=routes), follow_redirects=True)
    response = spec.get("/old")
    assert (200, "/new") == (response.status_code, response.url.path)
    assert [301] == [answer.status_code for answer in response.history]


def test_a_virtual_host_that_wants_tls_redirects(spec: Spec) -> None:
    """`require_tls: ALL` sends plain HTTP to https, unless it is said to have come by it."""
    spec.given(bootstrap(vhost={"require_tls": "ALL"}))
    response = spec.get("/a")
    assert (301, "https://127.0.0.1:15001/a") == (response.status_code, response.headers["location"])
    assert 200 == spec.get("/a", headers={"x-forwarded-proto": "https"}).status_code


def test_a_non_forwarding_action_finds_no_cluster(spec: Spec) -> None:
    """Under a plain router there is nobody to answer: 503 NC."""
    response = spec.given(answering(non_forwarding_action={}), local_replies="response").get()
    assert (503, ["NC"], "cluster_not_found") == (response.status_code, story(response).flags, story(response).details)
