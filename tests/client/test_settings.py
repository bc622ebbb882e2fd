"""What a client is told between calls counts from the next call on; and `get` and the like look as httpx's do."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ambassador_lib import AsyncClient, Client

from .conftest import MakeClient, Recorder
from .documents import policy

URL = "http://elsewhere.test/x"
VERBS = ["get", "options", "head", "post", "put", "patch", "delete"]


def assign(name: str, value: Any) -> Callable[[Any], None]:
    return lambda client: setattr(client, name, value)


CHANGES: list[tuple[str, Callable[[Any], Any], Callable[[httpx.Request], Any], Any]] = [
    ("headers", assign("headers", {"x": "y"}), lambda request: request.headers.get("x"), "y"),
    ("a header", lambda client: client.headers.update({"x": "y"}), lambda request: request.headers.get("x"), "y"),
    ("cookies", assign("cookies", {"a": "b"}), lambda request: request.headers.get("cookie"), "a=b"),
    ("a cookie", lambda client: client.cookies.set("a", "b"), lambda request: request.headers.get("cookie"), "a=b"),
    ("params", assign("params", {"a": "b"}), lambda request: request.url.query, b"a=b"),
    ("timeout", assign("timeout", 7.0), lambda request: request.extensions["timeout"]["read"], 7.0),
    (
        "a timeout",
        lambda client: setattr(client.timeout, "read", 7.0),
        lambda request: request.extensions["timeout"]["read"],
        7.0,
    ),
    ("auth", assign("auth", ("a", "b")), lambda request: request.headers.get("authorization", "")[:6], "Basic "),
    ("_base_url", assign("_base_url", httpx.URL("http://base.test/")), lambda request: request.url.host, "base.test"),
]


@pytest.mark.parametrize(("change", "seen", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_change_counts_at_once(
    make_client: MakeClient, change: Callable[[Any], Any], seen: Callable[[httpx.Request], Any], expected: Any
) -> None:
    """A setting that is changed between two calls, by assignment or in place, is in the second request."""
    recorder = Recorder()
    client = make_client(policy(), transport=recorder, base_url="http://first.test/")
    for _ in range(2):
        client.get("/x")
    assert seen(recorder.requests[-1]) != expected
    change(client)
    client.get("/x")

    assert seen(recorder.requests[-1]) == expected


@pytest.mark.parametrize(
    "name",
    [
        "request", "build_request", "send", "_merge_url", "_merge_headers", "_merge_cookies", "_merge_queryparams",
        "_build_request_auth", "_send_handling_auth", "_send_handling_redirects", "_send_single_request",
        "_transport_for_url",
    ],
)  # fmt: skip
def test_a_method_put_on_one_client_is_called(make_client: MakeClient, kind: str, name: str) -> None:
    """Who replaces a step of one client, as mocks do, has it called for that client until it is taken away."""
    client = make_client(policy(), transport=Recorder())
    client.get(URL)
    target = client if kind == "sync" else client.client
    original, calls = getattr(target, name), []

    def replacement(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return original(*arguments, **options)

    setattr(target, name, replacement)
    assert client.get(URL).text == "inner"
    delattr(target, name)
    assert client.get(URL).text == "inner"
    assert calls == [name]


@pytest.mark.parametrize("event", ["request", "response"])
def test_a_hook_that_is_added_later_is_called(make_client: MakeClient, kind: str, event: str) -> None:
    """Hooks may be appended to the client's own lists."""
    client = make_client(policy(), transport=Recorder())
    client.get(URL)
    calls = []

    async def hook_async(happened: object) -> None:
        calls.append(happened)

    client.event_hooks[event].append(calls.append if kind == "sync" else hook_async)
    client.get(URL)

    assert len(calls) == 1


def test_a_class_between_ours_and_httpxs_is_asked(wrap: Any) -> None:
    """A mixin that derives from httpx's client comes behind our classes, and is called as inheritance has it."""
    calls = []

    def mixed(base: type[Any], ours: type[Any]) -> type[Any]:
        def send(self: Any, *arguments: Any, **options: Any) -> Any:
            calls.append("send")
            return base.send(self, *arguments, **options)

        return type("Mixed", (ours, type("Mixin", (base,), {"send": send})), {})

    client = wrap(mixed(httpx.Client, Client), mixed(httpx.AsyncClient, AsyncClient))(policy(), transport=Recorder())
    for _ in range(2):
        client.get(URL)

    assert calls == ["send", "send"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_patch_of_httpxs_verb_is_seen(
    make_client: MakeClient, kind: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Who patches `httpx.Client.get`, say, sees the calls of our clients while the patch lasts."""
    client = make_client(policy(), transport=Recorder())
    getattr(client, verb)(URL)
    owner = httpx.Client if kind == "sync" else httpx.AsyncClient
    original, calls = getattr(owner, verb), []

    def patched(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(verb)
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, verb, patched)
        getattr(client, verb)(URL)
    getattr(client, verb)(URL)
    assert calls == [verb]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("ours", "theirs"), [(Client, httpx.Client), (AsyncClient, httpx.AsyncClient)])
def test_verbs_look_like_httpxs(ours: Any, theirs: Any, verb: str) -> None:
    """Whoever asks finds httpx's signature, types and documentation."""
    mine, stock = getattr(ours, verb), getattr(theirs, verb)

    assert inspect.signature(mine) == inspect.signature(stock)
    assert typing.get_type_hints(mine) == typing.get_type_hints(stock)
    assert inspect.iscoroutinefunction(mine) == inspect.iscoroutinefunction(stock)
    assert (mine.__name__, mine.__qualname__, mine.__doc__) == (stock.__name__, stock.__qualname__, stock.__doc__)


MISTAKES: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((URL, {"a": "b"}), {}),
    ((URL,), {"json": {}}),
    ((URL,), {"nonsense": None}),
]


@pytest.mark.parametrize(("arguments", "options"), MISTAKES)
def test_mistakes_are_told_in_httpxs_words(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """`get` takes what httpx's takes, and says so as httpx does."""
    with httpx.Client(transport=Recorder()) as stock, Client(policy(), transport=Recorder()) as client:
        client.get(URL)
        with pytest.raises(TypeError) as theirs:
            stock.get(*arguments, **options)
        with pytest.raises(TypeError) as mine:
            client.get(*arguments, **options)

    assert str(mine.value) == str(theirs.value)


def test_what_is_not_given_may_be_said(make_client: MakeClient) -> None:
    """Wrappers pass on all parameters with their defaults: it is the call without them."""
    recorder = Recorder()
    client = make_client(policy(), transport=recorder)
    client.get(URL)
    for _ in range(2):
        client.get(
            URL,
            params=None,
            headers=None,
            cookies=None,
            auth=httpx.USE_CLIENT_DEFAULT,
            follow_redirects=False,
            timeout=3.0,
            extensions={"a": 1},
        )
        client.post(URL, content=None, data=None, files=None, json={"a": 1}, headers=[("x", "y")])

    assert recorder.requests[-2].extensions["timeout"] == httpx.Timeout(3.0).as_dict()
    assert recorder.requests[-2].extensions["a"] == 1
    assert (recorder.requests[-1].content, recorder.requests[-1].headers["x"]) == (b'{"a":1}', "y")


def test_redirects_are_followed_as_the_call_says(make_client: MakeClient) -> None:
    """`follow_redirects` of a call beats the client's."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/x":
            return httpx.Response(302, headers={"location": "/y"})
        return httpx.Response(200, text=request.url.path)

    client = make_client(policy(), transport=Recorder(answer=answer))
    client.get(URL)

    assert client.get(URL, follow_redirects=True).text == "/y"
    assert client.get(URL).status_code == 302
    assert [response.status_code for response in client.get(URL, follow_redirects=True).history] == [302]
