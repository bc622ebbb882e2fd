"""Which way a request goes: the policy, a mount, httpx, or nowhere."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib import NoRouteError, Policy
from ambassador_lib._httpx.urls import KEPT_URLS
from ambassador_lib.testing import Upstream

from .conftest import MakeClient, Recorder
from .documents import BASE, cluster, listener, policy, virtual_host


def took_the_policy(response: httpx.Response) -> bool:
    return "ambassador" in response.extensions


@pytest.mark.parametrize("url", [BASE, "http://localhost:15001", "http://[::1]:15001"])
def test_a_listener_claims_its_address(make_client: MakeClient, url: str) -> None:
    """Rule 1: a listener on a loopback address answers to every name of loopback."""
    response = make_client(policy(), transport=Recorder()).get(f"{url}/charges")

    assert response.extensions["ambassador"].listener == "app"


def test_unclaimed_urls_are_passed_through(make_client: MakeClient) -> None:
    """A URL that nothing claims goes to the client's transport, as with httpx."""
    inner = Recorder()

    response = make_client(policy(), transport=inner).get("https://example.org/x")

    assert inner.urls == ["https://example.org/x"]
    assert not took_the_policy(response)
    assert "x-request-id" not in inner.requests[0].headers


def test_unmatched_reject_refuses(make_client: MakeClient) -> None:
    """`unmatched="reject"`: a URL that nothing claims raises NoRouteError, and nothing is sent."""
    inner = Recorder()
    client = make_client(policy(), transport=inner, unmatched="reject")

    with pytest.raises(NoRouteError) as caught:
        client.get("https://example.org/x")

    assert isinstance(caught.value, httpx.UnsupportedProtocol)
    assert caught.value.response is not None
    assert caught.value.response.status_code == 404
    assert inner.requests == []
    assert client.get(BASE).status_code == 200


def test_unmatched_reject_is_not_undone_by_a_mount(make_client: MakeClient) -> None:
    """A mount takes what the policy claims by name, but lets nothing out that the policy does not claim."""
    mount = Recorder("mount")
    client = make_client(policy(), transport=Recorder(), mounts={"all://": mount}, unmatched="reject")

    with pytest.raises(NoRouteError):
        client.get("https://example.org/")

    assert mount.requests == []


def test_a_mount_wins_over_a_virtual_host_and_a_cluster_name(make_client: MakeClient) -> None:
    """`mounts=` comes before rule 2."""
    mount = Recorder("mount")
    document = policy(listener(virtual_host("billing.local", "all.local")))
    client = make_client(document, transport=Recorder(), mounts={"all://billing.local": mount, "all://up": mount})

    assert client.get("http://billing.local/").text == "mount"
    assert client.get("http://up/").text == "mount"
    assert took_the_policy(client.get("http://all.local/"))
    assert not took_the_policy(client.get("http://billing.local/"))


def test_a_listener_wins_over_a_mount(make_client: MakeClient) -> None:
    """`mounts=` does not come before rule 1."""
    mount = Recorder("mount")
    client = make_client(policy(), transport=Recorder(), mounts={"all://": mount, "http://127.0.0.1:15001": mount})

    assert client.get(BASE).text == "inner"
    assert client.get("http://example.org/").text == "mount"


def test_an_empty_mount_leaves_the_url_to_the_policy(make_client: MakeClient) -> None:
    """A mount of `None` means the client's default way, which is the policy."""
    client = make_client(policy(), transport=Recorder(), mounts={"all://up": None, "all://": Recorder("mount")})

    assert took_the_policy(client.get("http://up/"))


def test_a_proxy_of_the_environment_does_not_capture_a_listener(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY stands for a mount: it never comes before a listener's address."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with pytest.raises(httpx.ConnectError) as caught:
        make_client(policy(clusters=[cluster("up", port=2)])).get(BASE)

    assert caught.value.call.attempts[0].endpoint == "127.0.0.1:2"  # type: ignore[attr-defined]


def test_a_proxy_of_the_environment_does_not_capture_a_name(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the application asked for itself comes before rule 2; what nothing claims goes by the environment."""
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = make_client(policy(clusters=[cluster("up", port=2)]), mounts={"http://mounted": Recorder("mount")})

    with pytest.raises(httpx.ConnectError) as caught:
        client.get("http://up/")
    assert caught.value.call.attempts[0].endpoint == "127.0.0.1:2"  # type: ignore[attr-defined]
    assert client.get("http://mounted/").text == "mount"
    with pytest.raises(httpx.ConnectError) as caught:
        client.get("http://elsewhere.test/")
    assert not hasattr(caught.value, "call")


def test_a_proxy_that_the_application_asked_for_comes_before_names(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`proxy=` is explicit, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Upstream(name="proxy") as proxy:
        client = make_client(policy(clusters=[cluster("up", port=2)]), proxy=proxy.url)
        assert client.get("http://up/").text == "proxy"


def test_a_relative_url_says_what_it_needs(make_client: MakeClient) -> None:
    """httpx would ask for an `http://`, which is not what is missing."""
    two = policy(listener(virtual_host()), listener(virtual_host(), port=15002, name="other"))
    for document, count in [(two, 2), (policy(clusters=[]) | {"static_resources": {}}, 0)]:
        with pytest.raises(httpx.UnsupportedProtocol, match=f"'/x' needs .*exactly one listener; this one has {count}"):
            make_client(document).get("/x")
    with pytest.raises(httpx.UnsupportedProtocol, match="missing an 'http"):
        make_client().get("/x")


def test_relative_urls_go_to_the_only_listener(make_client: MakeClient) -> None:
    """With exactly one listener and no base URL, a relative URL is the listener's."""
    inner = Recorder()
    client = make_client(policy(), transport=inner)

    client.get("/charges?limit=1")
    client.get("charges")

    assert inner.urls == [f"{BASE}/charges?limit=1", f"{BASE}/charges"]
    assert client.base_url == httpx.Client().base_url


@pytest.mark.parametrize(("address", "host"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3")])
def test_relative_urls_to_a_listener_on_any_address(make_client: MakeClient, address: str, host: str) -> None:
    """A listener on all addresses is called by loopback."""
    inner = Recorder()

    make_client(policy(listener(virtual_host(), address=address)), transport=inner).get("/x")

    assert inner.urls == [f"http://{host}:15001/x"]


def test_a_base_url_of_the_application_is_kept(make_client: MakeClient) -> None:
    """`base_url` decides where relative URLs go, and a base path goes to the listener."""
    inner = Recorder()

    make_client(policy(), transport=inner, base_url="http://example.org/api").get("/x")
    make_client(policy(), transport=inner, base_url="/v1").get("/x")

    assert inner.urls == ["http://example.org/api/x", f"{BASE}/v1/x"]


def test_relative_urls_are_refused_without_one_listener(make_client: MakeClient) -> None:
    """With several listeners, or no policy, a relative URL fails as with httpx; so does a URL that is no such thing."""
    two = policy(listener(virtual_host()), listener(virtual_host(), port=15002, name="other"))
    for client, url in [(make_client(two), "/x"), (make_client(), "/x"), (make_client(policy()), "http:///x")]:
        with pytest.raises(httpx.UnsupportedProtocol):
            client.get(url)


def test_the_policy_is_a_path_a_document_or_a_policy(make_client: MakeClient, tmp_path: object) -> None:
    """All ways to name a policy mean the same one, and `client.policy` is it."""
    import json
    from pathlib import Path

    file = Path(str(tmp_path)) / "envoy.yaml"
    file.write_text(json.dumps(policy()))
    for source in (policy(), Policy.parse(policy()), file, str(file)):
        client = make_client(source, transport=Recorder())
        assert client.policy == Policy.parse(policy())
        assert took_the_policy(client.get(BASE))
    assert make_client().policy is None
    assert make_client(policy=policy()).policy is not None


def test_without_a_policy_all_is_httpx_with_a_story(make_client: MakeClient) -> None:
    """`Client()` sends what httpx would, over mounts too, and each response has a report."""
    inner, mount = Recorder(), Recorder("mount")
    client = make_client(transport=inner, mounts={"all://mounted": mount})

    assert client.get("http://mounted/").text == "mount"
    response = client.get("http://example.org/x")

    assert took_the_policy(response)
    plain = httpx.Client(transport=Recorder()).build_request("GET", "http://example.org/x")
    assert inner.requests[0].headers == plain.headers


def test_a_mount_counts_from_when_it_is_there(make_client: MakeClient) -> None:
    """Mounts that are added, exchanged or taken away later have their effect on the very next call."""
    inner, mounted, other = Recorder("inner"), Recorder("mounted"), Recorder("other")
    client = make_client(
        policy(listener(virtual_host("named.test"))), transport=inner, mounts={"all://a.test": mounted}
    )
    pattern = next(iter(client._mounts))

    def names() -> list[str]:
        return [client.get(url).text for url in ("http://a.test/", "http://b.test/", "http://named.test/")]

    assert names() == ["mounted", "inner", "inner"]
    client._mounts[pattern] = other
    assert names() == ["other", "inner", "inner"]
    client._mounts = {type(pattern)("all://"): mounted}
    assert names() == ["mounted", "mounted", "mounted"]
    client._mounts = {}
    assert names() == ["inner", "inner", "inner"]


def test_who_chooses_otherwise_is_asked_with_mounts_too(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice of one's own, put into a single client, is not passed by because the client has mounts."""
    chosen = Recorder("chosen")
    client = make_client(policy(), transport=Recorder(), mounts={"all://a.test": Recorder("mounted")})
    assert client.get("http://a.test/").text == "mounted"
    client._transport_for_url = lambda url: chosen

    assert client.get("http://a.test/").text == "chosen"


def test_many_origins_are_not_kept_for_ever(make_client: MakeClient) -> None:
    """What is known of origins is bounded."""
    mounted = Recorder("mounted")
    client = make_client(policy(), transport=Recorder(), mounts={"all://*.a.test": mounted})
    for number in range(KEPT_URLS + 10):
        assert client._route_past(httpx.URL(f"http://{number}.a.test/")) == (mounted, True)
    assert len(client._known_mounts._by_origin) <= KEPT_URLS + 1
