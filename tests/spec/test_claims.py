"""Which listener a URL belongs to: rules 1, 2 and 3 of the contract."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib import NoRouteError, RouteTimeoutError

from .documents import cluster, header, listener, policy, route, vhost
from .harness import Hang, Spec, story, told

TWO = policy(
    listener(vhost(to="billing"), name="billing"),
    listener(vhost(to="users"), name="users", port=15002),
    clusters=[cluster("billing"), cluster("users")],
)


def way(response: httpx.Response) -> tuple[str | None, str | None]:
    """Return the listener and the cluster that served a response."""
    return story(response).listener, story(response).cluster


# --- rule 1: the address of a listener -------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1", "127.0.0.9"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_a_wildcard_or_loopback_listener_answers_to_every_loopback_name(spec: Spec, address: str, host: str) -> None:
    """`127.0.0.1`, `localhost` and `[::1]` on its port all mean the listener."""
    spec.given(policy(listener(vhost(), address=address)))
    assert "main" == story(spec.get(f"http://{host}:15001/")).listener


def test_a_listener_elsewhere_answers_to_its_address_alone(spec: Spec) -> None:
    """A listener on another address is not loopback's."""
    spec.given(policy(listener(vhost(), address="10.1.2.3")), unmatched="reject")
    assert "main" == story(spec.get("http://10.1.2.3:15001/")).listener
    for host in ("127.0.0.1", "localhost", "10.1.2.4"):
        with pytest.raises(NoRouteError):
            spec.get(f"http://{host}:15001/")


def test_a_listener_answers_to_its_additional_addresses(spec: Spec) -> None:
    """`additional_addresses` are as good as the address."""
    more = {"additional_addresses": [{"address": {"socket_address": {"address": "0.0.0.0", "port_value": 15009}}}]}
    spec.given(policy({**listener(vhost()), **more}))
    assert "main" == story(spec.get("http://localhost:15009/")).listener
    assert "main" == story(spec.get("http://127.0.0.1:15001/")).listener


def test_a_listener_with_tls_is_called_by_its_https_url(spec: Spec) -> None:
    """Nothing is encrypted on the way from the application to itself; the upstream is told what the URL said."""
    document = policy(listener(vhost()))
    tls = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"}
    chain = document["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    spec.given(document)
    assert "main" == story(spec.get("https://127.0.0.1:15001/")).listener
    assert spec.upstream.seen[0].headers["x-forwarded-proto"] == "https"


def test_a_listener_that_binds_no_port_is_found_by_name_alone(spec: Spec) -> None:
    """`bind_to_port: false` leaves its virtual hosts' names."""
    spec.given(policy({**listener(vhost("up.test")), "bind_to_port": False}), unmatched="reject")
    with pytest.raises(NoRouteError):
        spec.get("http://127.0.0.1:15001/")
    assert "main" == story(spec.get("http://up.test/")).listener


def test_the_port_decides_between_listeners(spec: Spec) -> None:
    """Each of two listeners serves its own port, and nobody a third."""
    spec.given(TWO, unmatched="reject")
    assert ("billing", "billing") == way(spec.get("http://127.0.0.1:15001/"))
    assert ("users", "users") == way(spec.get("http://localhost:15002/"))
    with pytest.raises(NoRouteError):
        spec.get("http://127.0.0.1:15003/")


def test_a_listener_on_the_schemes_port_needs_none_in_the_url(spec: Spec) -> None:
    """Port 80 is what `http://` without a port means, 443 what `https://` does."""
    spec.given(policy(listener(vhost(), name="plain", port=80), listener(vhost(), name="secure", port=443)))
    assert "plain" == story(spec.get("http://localhost/")).listener
    assert "secure" == story(spec.get("https://localhost/")).listener


def test_of_two_listeners_on_one_address_the_first_serves(spec: Spec) -> None:
    """Listeners are looked at in the order of the file."""
    spec.given(policy(listener(vhost(), name="first"), listener(vhost(), name="second", address="0.0.0.0")))
    assert "first" == story(spec.get("http://localhost:15001/")).listener


def test_the_host_header_chooses_the_virtual_host(spec: Spec) -> None:
    """The URL's host decides the listener alone; the virtual host follows from `Host`, whoever set it."""
    spec.given(
        policy(
            listener(vhost("billing.internal", to="billing"), vhost("users.internal", to="users")),
            clusters=[cluster("billing"), cluster("users")],
        )
    )
    assert ("main", "users") == way(spec.get(headers={"Host": "users.internal"}))
    assert ("main", "billing") == way(spec.get(headers={"Host": "BILLING.internal"}))
    assert ["users.internal", "BILLING.internal"] == [request.headers["host"] for request in spec.upstream.seen]
    with pytest.raises(NoRouteError):
        spec.get()  # 127.0.0.1:15001 is no domain here


# --- rule 2: the name of a virtual host or of a cluster --------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("billing.local", "http://billing.local/"),
        ("billing.local", "https://billing.local/"),
        ("billing.local", "http://BILLING.local/"),
        ("*.billing.local", "http://eu.billing.local/"),
        ("billing.*", "http://billing.example/"),
        ("billing.local:8443", "https://billing.local:8443/"),
        ("billing.*", "http://billing.local:8080/"),
    ],
)
def test_a_virtual_hosts_domain_claims_the_url(spec: Spec, domain: str, url: str) -> None:
    """Rule 2: the URL's host, or host and port, is a domain of a virtual host, whatever the scheme."""
    spec.given(policy(listener(vhost(domain, to="billing"), vhost()), clusters=[cluster("billing"), cluster()]))
    assert ("main", "billing") == way(spec.get(url))


def test_a_domain_without_a_port_claims_every_port(spec: Spec) -> None:
    """The URL's host alone may match, and then it is that virtual host's, with the `Host` that the application sent."""
    spec.given(
        policy(listener(vhost("billing.local", to="billing"), vhost()), clusters=[cluster("billing"), cluster()])
    )
    assert ("main", "billing") == way(spec.get("http://billing.local:8080/"))
    assert "billing.local:8080" == spec.upstream.seen[0].headers["host"]


def test_a_bare_star_claims_nothing_by_name(spec: Spec) -> None:
    """A virtual host for `*` serves its listener's address and no URL beside it."""
    spec.given(policy(), unmatched="reject")
    with pytest.raises(NoRouteError):
        spec.get("http://example.org/")


def test_names_are_searched_in_the_order_of_the_file(spec: Spec) -> None:
    """Of two listeners with a virtual host of that name the first is taken."""
    spec.given(policy(listener(vhost("a.local"), name="one"), listener(vhost("a.local"), name="two", port=15002)))
    assert "one" == story(spec.get("http://a.local/")).listener


def test_the_listeners_address_comes_before_names(spec: Spec) -> None:
    """Rule 1 beats rule 2: a virtual host called `localhost` of another listener does not take the port away."""
    spec.given(policy(listener(vhost("localhost"), name="named", port=15002), listener(vhost(), name="bound")))
    assert "bound" == story(spec.get("http://localhost:15001/")).listener


@pytest.mark.parametrize(
    "url", ["http://payments/x", "http://payments:8080/x", "https://payments/x", "http://PAYMENTS/"]
)
@pytest.mark.parametrize("name", ["payments", "Payments"])
def test_a_clusters_name_claims_the_url(spec: Spec, url: str, name: str) -> None:
    """Rule 2: a cluster is called by its name, with or without a port; URLs know no case in a host."""
    spec.given(policy(clusters=[cluster(), cluster(name)]))
    response = spec.get(url)
    assert (None, name) == way(response)
    assert "10.0.0.1:80" == story(response).attempts[0].endpoint


def test_a_bare_cluster_has_envoys_defaults(spec: Spec) -> None:
    """15 s and no retries, whatever the routes to the same cluster say."""
    retrying = vhost(routes=[route("c", timeout="60s", retry_policy={"retry_on": "5xx"})])
    spec.given(policy(listener(retrying)), 503, Hang(15.5))
    assert 503 == spec.get("http://c/").status_code
    assert "15000" == spec.upstream.seen[0].headers["x-envoy-expected-rq-timeout-ms"]
    assert "x-request-id" in spec.upstream.seen[0].headers
    with pytest.raises(RouteTimeoutError):
        spec.get("http://c/")


def test_a_domain_comes_before_a_cluster_of_that_name(spec: Spec) -> None:
    """A virtual host's domain is the more specific wish."""
    spec.given(policy(listener(vhost("c", to="other")), clusters=[cluster(), cluster("other")]))
    assert ("main", "other") == way(spec.get("http://c/"))


# --- rule 3: nothing claims it ---------------------------------------------------------------------------------------


def test_unclaimed_urls_pass_through_untouched(spec: Spec) -> None:
    """`unmatched="passthrough"`: the request is the application's own, its timeout included, and has no report."""
    mutations = [header("x-added", "1")]
    spec.given(policy(listener(vhost(), config={"request_headers_to_add": mutations})), 503)
    response = spec.get("http://example.org:81/a//b?c", headers={"x-envoy-retry-on": "5xx"}, timeout=3)
    [seen] = spec.upstream.seen
    assert (503, "http://example.org:81/a//b?c") == (response.status_code, str(seen.url))
    assert "ambassador" not in response.extensions
    assert 3 == seen.extensions["timeout"]["read"]
    assert "x-envoy-retry-on" in seen.headers
    assert not {"x-added", "x-request-id", "x-forwarded-proto"} & set(seen.headers)


def test_unclaimed_urls_are_answered_with_404(spec: Spec) -> None:
    """`unmatched="reject"` in response mode: the reply of a sidecar that has no route."""
    response = spec.given(policy(), unmatched="reject", local_replies="response").get("http://example.org/")
    assert (404, b"", "envoy") == (response.status_code, response.content, response.headers["server"])
    assert (["NR"], "route_not_found") == (story(response).flags, story(response).details)
    assert story(response).duration is not None


def test_unclaimed_urls_are_refused(spec: Spec) -> None:
    """`unmatched="reject"`: a NoRouteError with its reply and its story, and nothing is sent."""
    spec.given(policy(), unmatched="reject")
    with pytest.raises(NoRouteError, match=r"example\.org") as caught:
        spec.get("http://example.org/")
    assert isinstance(caught.value, httpx.UnsupportedProtocol)
    assert caught.value.response is not None
    assert 404 == caught.value.response.status_code
    assert (["NR"], "route_not_found", []) == (
        told(caught.value).flags,
        told(caught.value).details,
        told(caught.value).attempts,
    )
    assert [] == spec.upstream.seen


def test_rejecting_concerns_unclaimed_urls_only(spec: Spec) -> None:
    """What the policy claims is served all the same."""
    assert 200 == spec.given(policy(), unmatched="reject").get().status_code


# --- relative URLs ---------------------------------------------------------------------------------------------------


def relative(spec: Spec, path: str) -> httpx.Response:
    response: httpx.Response = spec.wait(spec.client.get(path))
    return response


def test_a_relative_url_goes_to_the_only_listener(spec: Spec) -> None:
    """`client.get("/charges")` needs no address where there is but one."""
    spec.given_client(policy(listener(vhost(), address="0.0.0.0")))
    assert "main" == story(relative(spec, "/charges?limit=1")).listener
    assert "http://127.0.0.1:15001/charges?limit=1" == str(spec.upstream.seen[0].url)


def test_a_relative_url_needs_exactly_one_listener(spec: Spec) -> None:
    """With two listeners nothing claims it."""
    spec.given_client(TWO, unmatched="reject")
    with pytest.raises(NoRouteError, match="exactly one listener; this one has 2") as caught:
        relative(spec, "/charges")
    assert ["NR"] == told(caught.value).flags


# --- several listeners that answer to one address --------------------------------------------------------------------


@pytest.mark.parametrize("other", ["127.0.0.2", "0.0.0.0", "::"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_exact_address_comes_first(spec: Spec, other: str, host: str) -> None:
    """A listener on the very address serves it, whoever else would answer and stands before it in the file."""
    spec.given(policy(listener(vhost(), name="other", address=other), listener(vhost(), name="exact")))
    assert "exact" == story(spec.get(f"http://{host}:15001/")).listener


def test_a_wildcard_comes_before_another_loopback_address(spec: Spec) -> None:
    """As behind the operating system: a listener on 127.0.0.2 serves 127.0.0.1 where nobody else does."""
    two, wildcard = listener(vhost(), name="two", address="127.0.0.2"), listener(vhost(), name="any", address="0.0.0.0")
    spec.given(policy(two, wildcard))
    assert "any" == story(spec.get("http://127.0.0.1:15001/")).listener
    assert "two" == story(spec.get("http://127.0.0.2:15001/")).listener
