"""What layers tell upstreams in headers of their own: once, whoever else brings one, and for however many tries."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib.routing.mutations import OWN

from .documents import Document, bootstrap, cluster, endpoint, header, listener, policy, route, vhost
from .harness import Spec
from .test_filter_header_mutation import add, mutation
from .test_filter_upstream import of_cluster
from .test_filters import filtered

REWRITES: Document = {"prefix_rewrite": "/r/", "host_rewrite_literal": "r.test"}
NAMED = [{"lb_endpoints": [endpoint(number, hostname=f"h{number}.test") for number in (1, 2)]}]
MINE = [add(name.decode(), "mine") for name in sorted(OWN)]
COUNTED = {"include_request_attempt_count": True}
AGAIN = {"retry_policy": {"retry_on": "5xx"}}


def redirect(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(302, headers={"location": "http://127.0.0.1:15001/again"}, content=b"")


CASES: dict[str, tuple[Document, list[Any]]] = {
    "told for each host that is tried": (
        policy(
            listener(vhost(routes=[route(auto_host_rewrite=True, **AGAIN)], **COUNTED)),
            clusters=[cluster(groups=NAMED)],
        ),
        [503, 200],
    ),
    "told again after a redirect": (
        policy(
            listener(
                vhost(
                    routes=[
                        route(match={"prefix": "/again"}, **{**REWRITES, "prefix_rewrite": "/"}),
                        route(internal_redirect_policy={}, **REWRITES),
                    ],
                    **COUNTED,
                )
            )
        ),
        [redirect, 200],
    ),
    "told where the route brings them, too": (
        bootstrap(
            route=REWRITES,
            vhost={"request_headers_to_add": [header(name.decode(), "mine") for name in sorted(OWN)], **COUNTED},
        ),
        [200],
    ),
    "told where a filter brings them, too": (filtered(mutation(*MINE), route=REWRITES, vhost=COUNTED), [200]),
    "told where the cluster's filters bring them, too": (
        bootstrap(route={**REWRITES, **AGAIN}, vhost=COUNTED, cluster=of_cluster(mutation(add("x-m", "1")))),
        [503, 200],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("brought", [{}, {name.decode(): "mine" for name in OWN}], ids=["not brought", "brought"])
def test_an_own_header_has_one_line(spec: Spec, case: str, brought: dict[str, str]) -> None:
    """The upstream gets each of them once, and it is not what somebody else brought."""
    document, steps = CASES[case]
    spec.given(document, *steps)
    assert 200 == spec.get("/path", headers=brought).status_code
    for request in spec.upstream.seen:
        for name in ("x-envoy-attempt-count", "x-envoy-original-host"):
            (value,) = request.headers.get_list(name)
            assert value != "mine"
        if REWRITES["prefix_rewrite"] in str(request.url):
            assert ["/path"] == request.headers.get_list("x-envoy-original-path")
