"""Internal redirects: what the application gets, what its report tells, and that nothing is kept of the first one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import RouteTimeoutError

from .documents import Document, cluster, listener, policy, route, vhost
from .harness import Body, Hang, Script, Spec, story


def following(**fields: Any) -> Document:
    """Return a policy that follows redirects to b.test, which has a route of its own."""
    return policy(
        listener(
            vhost("b.test", routes=[route(name="b", timeout="2s")]),
            vhost(routes=[route(name="a", internal_redirect_policy=fields, timeout="2s")]),
        ),
        clusters=[cluster()],
    )


def redirect(location: str = "http://b.test/final", status: int = 302, body: Body | None = None) -> httpx.Response:
    return httpx.Response(status, headers={"location": location}, stream=body or Body(b"gone"))


def test_the_answer_is_the_last_ones(spec: Spec) -> None:
    """The redirect is closed, its try is in the report, and the route told is the new one."""
    dropped = Body(b"gone")
    spec.given(following(), redirect(body=dropped), 200)
    response = spec.get("/x")
    assert 200 == response.status_code
    report = story(response)
    assert ("b", [302, 200]) == (report.route, [attempt.status for attempt in report.attempts])
    assert "internal redirect" == report.attempts[0].retried_because
    assert [b"b.test", b"http://127.0.0.1:15001/x"] == [
        spec.upstream.seen[1].headers["host"].encode(),
        spec.upstream.seen[1].headers["x-envoy-original-url"].encode(),
    ]
    assert 1 == dropped.closed
    spec.assert_nothing_held()


def test_the_redirect_that_is_not_followed_is_the_answer(spec: Spec) -> None:
    """Its body is there to be read."""
    spec.given(following(max_internal_redirects=0), redirect())
    response = spec.get("/x")
    assert (302, b"gone") == (response.status_code, response.content)
    spec.assert_nothing_held()


def test_the_timeout_starts_anew(spec: Spec) -> None:
    """Each request has the whole timeout of its own route; the second one's failure is the call's."""

    def late(_request: httpx.Request) -> httpx.Response:
        spec.clock.sleep(1.5)
        return redirect()

    spec.given(following(), late, Hang(1.5), late, Hang(3))
    assert 200 == spec.get("/x").status_code
    with pytest.raises(RouteTimeoutError):
        spec.get("/x")
    spec.assert_nothing_held()


def test_a_303_drops_the_body(spec: Spec) -> None:
    """What was posted is fetched from the new place."""
    spec.given(following(redirect_response_codes=[303]), redirect(status=303), 200)
    assert 200 == spec.post("/x", content=b"body").status_code
    assert ["POST", "GET"] == [request.method for request in spec.upstream.seen]
    assert [b"body", b""] == spec.upstream.bodies
    assert "content-length" not in spec.upstream.seen[1].headers


def test_a_307_replays_a_streamed_body(spec: Spec) -> None:
    """A stream is sent again out of its recording."""
    spec.given(following(redirect_response_codes=[307]), redirect(status=307), 200)

    def blocking() -> Any:
        yield b"ab"
        yield b"cd"

    async def loop() -> Any:
        for part in blocking():
            yield part

    assert 200 == spec.post("/x", content=blocking() if spec.is_blocking else loop()).status_code
    assert [b"abcd", b"abcd"] == spec.upstream.bodies


def test_the_applications_own_redirects_are_its_own(spec: Spec) -> None:
    """httpx follows what the policy does not."""
    spec.given(following(), redirect("/relative"), 200)
    response = spec.wait(spec.client.get("http://127.0.0.1:15001/x", follow_redirects=True))
    assert (200, "/relative") == (response.status_code, response.url.path)
    assert isinstance(spec.upstream, Script)
