"""TLS to upstreams (semantics 10)."""

from __future__ import annotations

import ssl
from typing import Any

from ..bootstrap import boot, cluster, endpoint, http2, protocol_options, retry, route, san, tls
from ..expect import OneOf, Re
from ..look import body, connections, details, flags, hits, see, sent, status, took
from ..model import Differs, Scenario, get, post, times
from ..upstreams.replies import Reply, Tls, Upstream

FAILED = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"


def _server(**fields: Any) -> Upstream:
    return Upstream(200, tls=Tls(**fields))


def _case(
    name: str,
    about: str,
    rule: str,
    server: Upstream,
    context: dict[str, Any],
    *,
    good: bool,
    host: str = "app.test",
    **fields: Any,
) -> Scenario:
    """One call over TLS: it works, or fails in the handshake and never reaches the upstream."""
    expect = [status(200), hits(a=1)] if good else [status(503), hits(a=0), body(FAILED), flags("UF")]
    return Scenario(
        f"handshake_{name}",
        about,
        rule=f"10 {rule}",
        upstreams={"a": server},
        policy=boot([], [cluster("a", **context, **fields)]),
        calls=[get("/", {"host": host})],
        expect=expect,
    )


def _seen(key: str, expected: Any) -> Any:
    return see(key, lambda run: [request.tls[key] for request in run.at("a").requests], expected)


def _spoken(expected: Any) -> Any:
    return see("alpn", lambda run: [run.at(name).requests[0].tls["alpn"] for name in "ab"], expected)


TRUST = [
    _case("trusted", "a certificate by the trusted authority", "trusted_ca", _server(), tls(), good=True),
    _case(
        "stranger", "a certificate by somebody else", "trusted_ca", _server(certificate="stranger"), tls(), good=False
    ),
    _case("expired", "an expired certificate", "trusted_ca", _server(certificate="expired"), tls(), good=False),
    _case(
        "nothing_checked",
        "without a validation context any certificate will do",
        "no certificate verification at all",
        _server(certificate="stranger"),
        tls(None),
        good=True,
    ),
    _case(
        "name_not_checked",
        "trusted_ca and sni alone do not check the name",
        "no host-name check",
        _server(certificate="other"),
        tls(sni="upstream.test"),
        good=True,
    ),
    _case(
        "san_matches",
        "match_typed_subject_alt_names: any of them",
        "match_typed_subject_alt_names",
        _server(),
        tls(sans=[san("else.test"), san("upstream.test")]),
        good=True,
    ),
    _case(
        "san_differs",
        "none of the names matches",
        "match_typed_subject_alt_names",
        _server(certificate="other"),
        tls(sans=[san("upstream.test"), san("upstream", how="prefix")]),
        good=False,
    ),
    _case(
        "san_kind",
        "a name of another kind does not match",
        "san_type",
        _server(),
        tls(sans=[san("upstream.test", "URI")]),
        good=False,
    ),
    _case(
        "san_suffix",
        "string matchers: suffix",
        "matcher",
        _server(),
        tls(sans=[san(".test", how="suffix")]),
        good=True,
    ),
    _case(
        "san_uri",
        "a URI by prefix",
        "san_type",
        _server(certificate="client"),
        tls(sans=[san("spiffe://parity/", "URI", "prefix")]),
        good=True,
    ),
    _case(
        "san_address",
        "an IP address",
        "san_type",
        _server(),
        tls(sans=[san("127.0.0.1", "IP_ADDRESS")]),
        good=True,
    ),
    _case(
        "san_wildcard",
        "an exact DNS name understands a certificate for *.wild.test",
        "DNS+exact understands wildcard certs",
        _server(certificate="wild"),
        tls(sans=[san("a.wild.test")]),
        good=True,
    ),
    _case(
        "san_wildcard_deeper",
        "which stands for one label",
        "DNS+exact understands wildcard certs",
        _server(certificate="wild"),
        tls(sans=[san("a.b.wild.test")]),
        good=False,
    ),
]

AUTO = protocol_options(upstream_http_protocol_options={"auto_sni": True})
AUTO_SAN = protocol_options(upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True})

NAMES = [
    Scenario(
        "tls_sni",
        "sni as it stands in the policy; none where there is none",
        rule="10 sni",
        upstreams={"a": _server()},
        policy=boot(
            [route("none", "/none"), route()], [cluster("a", **tls(sni="one.test")), cluster("none", ["a"], **tls())]
        ),
        calls=[get("/"), get("/none", {"host": "app.test"})],
        expect=[_seen("sni", ["one.test", None])],
    ),
    Scenario(
        "tls_auto_sni",
        "auto_sni takes the Host without its port, over sni; an address is sent as none",
        rule="10 auto_sni",
        upstreams={"a": _server()},
        policy=boot([], [cluster("a", **tls(sni="one.test"), **AUTO)]),
        calls=[get("/", {"host": "app.test:8443"}), get("/", {"host": "127.0.0.1"})],
        expect=[_seen("sni", ["app.test", OneOf(None, "one.test")])],
    ),
    Scenario(
        "tls_auto_sni_rewritten_host",
        "auto_sni takes the Host as it is after rewriting",
        rule="10 auto_sni",
        upstreams={"a": _server()},
        policy=boot([route(host_rewrite_literal="new.test")], [cluster("a", **tls(), **AUTO)]),
        calls=[get("/", {"host": "app.test"})],
        expect=[sent({"host": "new.test"}), _seen("sni", ["new.test"])],
    ),
    _case(
        "auto_san_matches",
        "auto_san_validation: the certificate is for the Host",
        "auto_san_validation",
        _server(),
        {**tls(), **AUTO_SAN},
        good=True,
        host="upstream.test",
    ),
    _case(
        "auto_san_differs",
        "auto_san_validation: it is not",
        "auto_san_validation",
        _server(certificate="other"),
        {**tls(), **AUTO_SAN},
        good=False,
        host="upstream.test",
    ),
    _case(
        "auto_san_address",
        "auto_san_validation holds for addresses too",
        "auto_san_validation, IP SAN",
        _server(certificate="other"),
        {**tls(), **AUTO_SAN},
        good=False,
        host="127.0.0.1",
    ),
    Scenario(
        "handshake_auto_host_sni",
        "auto_host_sni takes the endpoint's hostname",
        rule="10 auto_host_sni",
        upstreams={"a": _server()},
        policy=boot([], [cluster("a", [endpoint("a", hostname="host.test")], **tls(auto_host_sni=True))]),
        calls=[get("/", {"host": "app.test"})],
        expect=[_seen("sni", ["host.test"])],
    ),
    _case(
        "auto_sni_san_differs",
        "auto_sni_san_validation: the certificate must be for the name that was sent",
        "auto_sni_san_validation",
        _server(certificate="other"),
        tls(sni="upstream.test", auto_sni_san_validation=True),
        good=False,
    ),
    _case(
        "auto_sni_san_matches",
        "auto_sni_san_validation: it is",
        "auto_sni_san_validation",
        _server(certificate="other"),
        tls(sni="other.test", auto_sni_san_validation=True),
        good=True,
    ),
    Scenario(
        "tls_connections_by_name",
        "connections under different names are not shared",
        rule="10 auto_sni",
        upstreams={"a": _server()},
        policy=boot([], [cluster("a", **tls(), **AUTO)]),
        calls=[get("/", {"host": "one.test"}), get("/", {"host": "two.test"}), get("/", {"host": "one.test"})],
        expect=[_seen("sni", ["one.test", "two.test", "one.test"]), connections(a=2)],
    ),
]

TLS_1_2 = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_2"}}
TLS_1_3 = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}
ONLY_1_3 = {"minimum": ssl.TLSVersion.TLSv1_3}

SESSIONS = [
    Scenario(
        "mtls_certificate",
        "the policy's certificate is shown to the upstream",
        rule="10 tls_certificates",
        upstreams={"a": _server(client_ca="ca")},
        policy=boot([], [cluster("a", **tls(certificate="client"))]),
        calls=[times(2, get())],
        expect=[status(200, 200), _seen("client", ["client", "client"]), connections(a=1)],
    ),
    _case(
        "mtls_without",
        "an upstream that demands one ends the handshake without it",
        "tls_certificates",
        _server(client_ca="ca"),
        tls(common=TLS_1_2),
        good=False,
    ),
    _case(
        "mtls_stranger",
        "or with somebody else's",
        "tls_certificates",
        _server(client_ca="ca"),
        tls(certificate="stranger", common=TLS_1_2),
        good=False,
    ),
    _case(
        "intermediate_trusted",
        "an authority in the middle of a chain may be the one that is trusted, without its root",
        "trusted_ca, partial chains",
        _server(certificate="chained"),
        tls(ca="chained"),
        good=True,
    ),
    _case(
        "key_usage",
        "a key that the certificate does not allow to sign with",
        "enforce_rsa_key_usage",
        _server(certificate="agreeing"),
        tls(ca="root"),
        good=False,
    ),
    Scenario(
        "tls_version_default",
        "Envoy speaks TLS 1.2 at most unless told otherwise, we speak 1.3",
        rule="10 tls_maximum_protocol_version",
        upstreams={"a": _server(**ONLY_1_3)},
        policy=boot([], [cluster("a", **tls())]),
        calls=[get()],
        expect=[status(503), hits(a=0)],
        differs=Differs("TLS versions", [status(200), hits(a=1)]),
    ),
    Scenario(
        "tls_version_negotiated",
        "the version that is negotiated where the upstream knows both",
        rule="10 tls_maximum_protocol_version",
        upstreams={"a": _server()},
        policy=boot([], [cluster("a", **tls())]),
        calls=[get()],
        expect=[_seen("version", ["TLSv1.2"])],
        differs=Differs("TLS versions", [_seen("version", ["TLSv1.3"])]),
    ),
    Scenario(
        "tls_version_maximum",
        "tls_maximum_protocol_version is kept to",
        rule="10 tls_params",
        upstreams={"a": _server()},
        policy=boot(
            [route("new", "/new"), route()],
            [cluster("a", **tls(common=TLS_1_2)), cluster("new", ["a"], **tls(common=TLS_1_3))],
        ),
        calls=[get("/"), get("/new")],
        expect=[_seen("version", ["TLSv1.2", "TLSv1.3"])],
    ),
    _case(
        "version_too_old",
        "an upstream that knows only TLS 1.2 does not meet a minimum of 1.3",
        "tls_minimum_protocol_version",
        _server(maximum=ssl.TLSVersion.TLSv1_2),
        tls(
            common={
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                }
            }
        ),
        good=False,
    ),
    Scenario(
        "tls_alpn",
        "http/1.1 is offered to HTTP/1 upstreams, h2 to HTTP/2 ones",
        rule="10 alpn_protocols",
        upstreams={
            "a": _server(alpn=["http/1.1", "h2"]),
            "b": Upstream(200, kind="http2", tls=Tls(alpn=["h2", "http/1.1"])),
        },
        policy=boot([route("b", "/b"), route()], [cluster("a", **tls()), cluster("b", **tls(), **http2())]),
        calls=[get("/"), get("/b")],
        expect=[
            status(200, 200),
            see(
                "alpn",
                lambda run: [run.at(name).requests[0].tls["alpn"] for name in "ab"],
                [OneOf(None, "http/1.1"), "h2"],
            ),
        ],
    ),
    Scenario(
        "tls_auto_config",
        "auto_config: what ALPN chooses is spoken",
        rule="10 HPO.auto_config",
        upstreams={
            "a": _server(alpn=["http/1.1"]),
            "b": Upstream(200, kind="http2", tls=Tls(alpn=["h2"])),
        },
        policy=boot(
            [route("b", "/b"), route()],
            [
                cluster(name, **tls(), **protocol_options(auto_config={"http2_protocol_options": {}}))
                for name in ("a", "b")
            ],
        ),
        calls=[times(2, get("/")), times(2, get("/b"))],
        expect=[
            status(200, 200, 200, 200),
            _spoken(["http/1.1", "h2"]),
        ],
    ),
]

FAILURES = [
    _case(
        "to_plain",
        "TLS to an upstream that speaks plain HTTP",
        "handshake",
        Upstream(greeting=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        tls(),
        good=False,
    ),
    Scenario(
        "tls_plain_to_tls",
        "plain HTTP to an upstream that wants TLS is an error at once",
        rule="10 plaintext cluster",
        upstreams={"a": _server()},
        policy=boot(),
        calls=[get()],
        expect=[status(OneOf(503, 502)), hits(a=0), took(0, 3), flags(OneOf("UC", "UPE"))],
    ),
    Scenario(
        "tls_silent_handshake",
        "connect_timeout covers the handshake",
        rule="10 handshake is inside connect_timeout",
        upstreams={"a": Upstream(200, greeting="hang")},
        policy=boot([], [cluster("a", connect_timeout="0.4s", **tls())]),
        calls=[get()],
        expect=[status(503), took(0.35, 4), body(Re(".*reset reason: connection timeout")), flags("UF")],
    ),
    Scenario(
        "tls_failure_is_retried",
        "a failed handshake is a connect-failure: the retry goes to the good host",
        rule="10 retriable by connect-failure",
        upstreams={"a": _server(), "b": _server(certificate="stranger")},
        policy=boot([route(retry_policy=retry("connect-failure", 1))], [cluster("a", ["a", "b"], **tls())]),
        calls=[times(4, get())],
        expect=[status(*[200] * 4), hits(a=4, b=0)],
    ),
    Scenario(
        "tls_reason_not_told",
        "the reason of a failed handshake is not told to the application",
        rule="12.1 hides the transport failure text",
        upstreams={"a": _server(certificate="stranger")},
        policy=boot([], [cluster("a", **tls())]),
        calls=[get()],
        expect=[
            status(503),
            body(FAILED),
            details(Re(r".*\{remote_connection_failure\|TLS_error.*\}")),
        ],
    ),
    Scenario(
        "tls_large_bodies",
        "large bodies pass over TLS both ways",
        rule="10",
        upstreams={"a": Upstream(lambda request: Reply(200, body=request.body[::-1]), tls=Tls())},
        policy=boot([], [cluster("a", **tls())]),
        calls=[get(), post("/", b"0123456789" * 100_000)],
        expect=[see("same", lambda run: run.outcomes[-1].body == b"9876543210" * 100_000, True)],
    ),
]

SCENARIOS = [*TRUST, *NAMES, *SESSIONS, *FAILURES]
