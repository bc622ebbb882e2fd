"""`local_reply_config`: what becomes of replies that are the sidecar's own (semantics 12.3), verified on Envoy 1.40."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import NoHealthyUpstreamError

from .documents import bootstrap, cluster, header, listener, policy, vhost
from .harness import Spec, story

Document = dict[str, Any]


def by_header(value: str, **mapper: Any) -> Document:
    matcher = {"name": "x-m", "string_match": {"exact": value}}
    return {"filter": {"header_filter": {"header": matcher}}, **mapper}


def text(value: str, **more: Any) -> Document:
    return {"text_format_source": {"inline_string": value}, **more}


def routes() -> list[Document]:
    added = [header("x-r", "route"), header("x-rc", "%RESPONSE_CODE%")]
    return [
        {"match": {"prefix": "/none"}, "route": {"cluster": "empty"}, "response_headers_to_add": added},
        {"match": {"prefix": "/direct"}, "direct_response": {"status": 201, "body": {"inline_string": "dir"}}},
        {"match": {"prefix": "/redirect"}, "redirect": {"path_redirect": "/x"}},
        {"match": {"prefix": "/up"}, "route": {"cluster": "c"}},
    ]


def document(*mappers: Document, **config: Any) -> Document:
    return policy(
        listener(vhost(routes=routes()), manager={"local_reply_config": {"mappers": list(mappers), **config}}),
        clusters=[cluster(), cluster("empty", endpoints=0)],
    )


ONE = by_header(
    "1",
    status_code=418,
    body={"inline_string": "mapped"},
    headers_to_add=[header("x-l", "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%LOCAL_REPLY_BODY%"), header("x-r", "mapper")],
)
FORMAT = {"body_format": text("F:%LOCAL_REPLY_BODY%:%RESPONSE_CODE%")}


def test_the_first_mapper_that_applies_changes_the_reply(spec: Spec) -> None:
    """Its headers come after the route's and see the old code, the format sees the new one and the new body."""
    spec.given(document(ONE, by_header("1", status_code=500), **FORMAT), local_replies="response")
    response = spec.get("/none", headers={"x-m": "1"})
    assert (response.status_code, response.text) == (418, "F:mapped:418")
    assert response.headers["x-l"] == "503|UH|"
    assert response.headers.get_list("x-r") == ["route", "mapper"]
    assert response.headers["x-rc"] == "0"
    assert response.headers["content-length"] == "12"
    assert story(response).status == 418


def test_an_exception_carries_the_mapped_reply(spec: Spec) -> None:
    """With `local_replies="raise"` the kind of failure stays, `.response` is what would have been sent."""
    spec.given(document(ONE, **FORMAT))
    with pytest.raises(NoHealthyUpstreamError) as caught:
        spec.get("/none", headers={"x-m": "1"})
    response = caught.value.response
    assert response is not None
    assert (response.status_code, response.text) == (418, "F:mapped:418")


@pytest.mark.parametrize(
    ("path", "value", "status", "body"),
    [
        ("/none", "0", 503, "F:no healthy upstream:503"),
        ("/direct", "0", 201, "F:dir:201"),
        ("/direct", "1", 418, "F:mapped:418"),
        ("/redirect", "0", 301, "F::301"),
        ("/nowhere", "0", 404, "F::404"),
        ("/nowhere", "1", 418, "F:mapped:418"),
        ("/up", "1", 503, "up"),
    ],
)
def test_every_reply_that_no_upstream_made_is_formatted(
    spec: Spec, path: str, value: str, status: int, body: str
) -> None:
    """Direct responses and redirects are local replies, too; what an upstream answered is never touched."""
    spec.given(document(ONE, **FORMAT), httpx.Response(503, content=b"up"), local_replies="response")
    response = spec.get(path, headers={"x-m": value})
    assert (response.status_code, response.text) == (status, body)


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        (
            {"json_format": {"b": "%LOCAL_REPLY_BODY%", "c": "%RESPONSE_CODE%", "a": "x %REQ(no)%", "n": "%REQ(no)%"}},
            "application/json",
            '{"a":"x -","b":"no healthy upstream","c":503,"n":null}\n',
        ),
        (
            {"json_format": {"n": "%REQ(no)%", "c": 1}, "omit_empty_values": True, "content_type": "a/json"},
            "a/json",
            '{"c":1}\n',
        ),
        (text("<%LOCAL_REPLY_BODY%> %REQ(no)%", content_type="text/html"), "text/html", "<no healthy upstream> -"),
        ({"text_format": "%LOCAL_REPLY_BODY%!"}, "text/plain", "no healthy upstream!"),
        (text(""), None, ""),
    ],
)
def test_formats(spec: Spec, form: Document, content_type: str | None, body: str) -> None:
    """A mapper's own format takes the place of the general one; JSON is typed and sorted; nothing is no body."""
    spec.given(document(by_header("1", body_format_override=form), **FORMAT), local_replies="response")
    response = spec.get("/none", headers={"x-m": "1"})
    assert response.status_code == 503
    assert response.headers.get("content-type") == content_type
    assert response.text == body


def test_a_grpc_caller_is_told_in_its_own_way(spec: Spec) -> None:
    """Status and message are made of the mapped code and the formatted body."""
    spec.given(document(ONE, **FORMAT), local_replies="response")
    response = spec.post("/none", headers={"x-m": "1", "content-type": "application/grpc+proto"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["grpc-status"] == "2"
    assert response.headers["grpc-message"] == "F:mapped:418"
    assert response.headers["content-type"] == "application/grpc"


def test_head_has_no_body_but_its_length(spec: Spec) -> None:
    """As for any answer to HEAD."""
    spec.given(document(**FORMAT), local_replies="response")
    response = spec.request("HEAD", "/none")
    assert response.content == b""
    assert response.headers["content-length"] == "25"


def test_a_direct_response_has_a_format_of_its_own(spec: Spec) -> None:
    """Source: `DirectResponseAction.body_format`; its code is not on record yet."""
    form = {"json_format": {"b": "%LOCAL_REPLY_BODY%", "c": "%RESPONSE_CODE%", "p": "%REQ(:path)%"}}
    action = {"status": 403, "body": {"inline_string": "x"}, "body_format": form}
    spec.given(bootstrap(routes=[{"match": {"prefix": "/"}, "direct_response": action}]))
    response: httpx.Response = spec.get("/a")
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/json"
    assert response.text == '{"b":"x","c":0,"p":"/a"}\n'
