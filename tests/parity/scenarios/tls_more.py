"""What is checked of certificates, and how connections with TLS are made (semantics 10)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, endpoint, protocol_options, retry, route, san, tls, typed
from ..expect import Re
from ..look import details, flags, hits, see, status
from ..model import Look, Scenario, get, times
from ..upstreams.replies import Reply, Tls, Upstream

RAW = {"name": "raw", "typed_config": typed("extensions.transport_sockets.raw_buffer.v3.RawBuffer")}
WRONG_SUM = "00" * 32
WRONG_PIN = "A" * 43 + "="
LEAVING = Reply(headers={"connection": "close"})


def secured(certificate: str = "server", **fields: Any) -> dict[str, Upstream]:
    return {"a": Upstream(tls=Tls(certificate, **fields))}


def to(**fields: Any) -> Document:
    return boot(clusters=[cluster("a", **tls(**fields))])


def failed(said: str) -> list[Look]:
    """A connect failure whose reason says so, before anything is sent."""
    reason = (
        rf"upstream_reset_before_response_started\{{remote_connection_failure\|TLS_error:.*{said}.*TLS_error_end\}}"
    )
    return [status(503), flags("UF"), details(Re(reason)), hits(a=0)]


def taken(name: str, about: str, certificate: str = "server", **fields: Any) -> Scenario:
    return Scenario(
        name,
        about,
        rule="10",
        upstreams=secured(certificate),
        policy=to(**fields),
        calls=[get()],
        expect=[status(200), hits(a=1)],
    )


def refused(name: str, about: str, said: str, certificate: str = "server", **fields: Any) -> Scenario:
    return Scenario(
        name, about, rule="10", upstreams=secured(certificate), policy=to(**fields), calls=[get()], expect=failed(said)
    )


def server_names(expected: Any) -> Look:
    return see("server names", lambda run: [one.tls["sni"] for one in run.at("a").requests], expected)


SAN_CASES = [
    ("prefix", san("upstream.", "DNS", "prefix"), True),
    ("prefix_is_not_a_host", san("*.test", "DNS", "exact"), False),
    ("suffix", san(".test", "DNS", "suffix"), True),
    ("contains", san("stream", "DNS", "contains"), True),
    ("regex_whole", {"san_type": "DNS", "matcher": {"safe_regex": {"regex": "up.*test"}}}, True),
    ("regex_part", {"san_type": "DNS", "matcher": {"safe_regex": {"regex": "upstream"}}}, False),
    ("case_of_exact_dns", san("UPSTREAM.test"), True),
    ("case_of_prefix", san("UPSTREAM", "DNS", "prefix"), False),
    ("ignore_case", {"san_type": "DNS", "matcher": {"prefix": "UPSTREAM", "ignore_case": True}}, True),
    ("ip", san("127.0.0.1", "IP_ADDRESS"), True),
    ("type_counts", san("upstream.test", "URI"), False),
]

SCENARIOS = [
    *(
        taken(f"tls_san_{name}", f"SAN matcher: {name}", sans=[matcher])
        if good
        else refused(f"tls_san_{name}", f"SAN matcher: {name}", "SAN_matcher,_certificate_SANs_are_", sans=[matcher])
        for name, matcher, good in SAN_CASES
    ),
    taken("tls_san_wildcard", "a wildcard certificate is for one label", "wild", sans=[san("a.wild.test")]),
    refused("tls_san_wildcard_two_labels", "and for no more", "SAN_matcher", "wild", sans=[san("a.b.wild.test")]),
    taken("tls_san_any_of", "one of several matchers is enough", sans=[san("x.test"), san("upstream.test")]),
    taken("tls_san_uri", "URI names", "client", sans=[san("spiffe://parity/", "URI", "prefix")]),
    taken(
        "tls_san_deprecated",
        "match_subject_alt_names: any type of name",
        "client",
        validation={"match_subject_alt_names": [{"exact": "spiffe://parity/client"}]},
    ),
    refused(
        "tls_san_deprecated_gives_way",
        "typed matchers make the deprecated ones count no more",
        "SAN_matcher",
        sans=[san("x.test")],
        validation={"match_subject_alt_names": [{"exact": "upstream.test"}]},
    ),
    refused(
        "tls_sum_wrong",
        "verify_certificate_hash: another certificate of the same CA is not taken",
        "cert_hash_and_spki",
        validation={"verify_certificate_hash": [WRONG_SUM]},
    ),
    taken(
        "tls_pin",
        "verify_certificate_spki: the very key is taken, whoever vouches for it",
        ca=None,
        validation={"verify_certificate_spki": [WRONG_PIN, "${spki:server}"]},
    ),
    taken(
        "tls_sum",
        "verify_certificate_hash: the very certificate is taken",
        validation={"verify_certificate_hash": [WRONG_SUM, "${sum:server}"]},
    ),
    taken(
        "tls_pin_or_sum",
        "of a pin and a sum one is enough",
        validation={"verify_certificate_hash": [WRONG_SUM], "verify_certificate_spki": ["${spki:server}"]},
    ),
    refused(
        "tls_pin_wrong_without_ca",
        "verify_certificate_spki without trusted_ca: the key alone decides",
        "cert_hash_and_spki",
        ca=None,
        validation={"verify_certificate_spki": [WRONG_PIN]},
    ),
    taken(
        "tls_untrusted_accepted",
        "ACCEPT_UNTRUSTED: any chain, name and pin will do",
        "stranger",
        sans=[san("x.test")],
        validation={"trust_chain_verification": "ACCEPT_UNTRUSTED", "verify_certificate_hash": [WRONG_SUM]},
    ),
    refused("tls_expired", "an expired certificate", "certificate_has_expired", "expired"),
    taken(
        "tls_expired_allowed",
        "allow_expired_certificate",
        "expired",
        validation={"allow_expired_certificate": True},
    ),
    refused("tls_stranger", "a chain that ends elsewhere", "unable_to_get_local_issuer_certificate", "stranger"),
    refused(
        "tls_crl_missing",
        "a crl without a list of the CA's fails every certificate",
        "unable_to_get_certificate_CRL",
        validation={"crl": {"inline_string": "no list"}},
    ),
    taken(
        "tls_system_roots",
        "system_root_certs has no effect: nothing is verified",
        "stranger",
        ca=None,
        validation={"system_root_certs": {}},
    ),
    Scenario(
        "tls_alpn_of_its_own",
        "alpn_protocols: a list of the policy's is offered in place of http/1.1",
        rule="10 alpn_protocols",
        upstreams=secured(alpn=("http/1.1", "special")),
        policy=to(common={"alpn_protocols": ["special", "other"]}),
        calls=[get()],
        expect=[status(200), see("protocol", lambda run: run.at("a").requests[0].tls["alpn"], "special")],
    ),
    Scenario(
        "tls_sni_is_the_only_name_that_counts",
        "auto_sni_san_validation: the name sent takes the place of matchers",
        rule="10 auto_sni_san_validation",
        upstreams={**secured(), "b": Upstream(tls=Tls("other"))},
        policy=boot(
            [route("a", "/a"), route("b", "/b")],
            [
                cluster(name, **tls(sans=[san("nobody.test")], sni="upstream.test", auto_sni_san_validation=True))
                for name in "ab"
            ],
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "tls_auto_host_sni",
        "auto_host_sni: the endpoint's hostname is the server name, the static one is for endpoints without",
        rule="10 auto_host_sni",
        upstreams=secured(),
        policy=boot(
            [route("named", "/named"), route("bare")],
            [
                cluster("named", [endpoint("a", hostname="upstream.test")], **tls(sni="s.test", auto_host_sni=True)),
                cluster("bare", ["a"], **tls(sni="s.test", auto_host_sni=True)),
            ],
        ),
        calls=[get("/named"), get("/")],
        expect=[status(200, 200), server_names(["upstream.test", "s.test"])],
    ),
    Scenario(
        "tls_auto_sni_from_a_header",
        "override_auto_sni_header: another header gives name and SAN; without it the Host does",
        rule="10 override_auto_sni_header",
        upstreams=secured(),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    **tls(sni="static.test"),
                    **protocol_options(
                        upstream_http_protocol_options={
                            "auto_sni": True,
                            "auto_san_validation": True,
                            "override_auto_sni_header": "x-name",
                        }
                    ),
                )
            ]
        ),
        calls=[
            get("/", {"x-name": "upstream.test"}),
            get("/", {"host": "upstream.test:80"}),
            get("/", {"host": "upstream.test", "x-name": "other.test"}),
        ],
        expect=[status(200, 200, 503), server_names(["upstream.test", "upstream.test"])],
    ),
    Scenario(
        "tls_auto_san_of_an_address",
        "auto_san_validation: an address must be an IP SAN; none is sent as server name",
        rule="10 auto_san_validation",
        upstreams=secured(),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    **tls(),
                    **protocol_options(upstream_http_protocol_options={"auto_sni": True, "auto_san_validation": True}),
                )
            ]
        ),
        calls=[get("/", {"host": "127.0.0.1"}), get("/", {"host": "127.0.0.2"})],
        expect=[status(200, 503), server_names([None])],
    ),
    Scenario(
        "tls_sessions_resumed",
        "max_session_keys: the next connection resumes the session, with 0 it does not",
        rule="10 max_session_keys",
        upstreams={name: Upstream(LEAVING, tls=Tls(client_ca=None)) for name in "ab"},
        policy=boot(
            [route("a", "/a"), route("b", "/b")],
            [cluster("a", **tls()), cluster("b", **tls(max_session_keys=0))],
        ),
        calls=[times(3, get("/a")), times(3, get("/b"))],
        expect=[
            status(*[200] * 6),
            see(
                "resumed",
                lambda run: [[request.tls["resumed"] for request in run.at(name).requests] for name in "ab"],
                [["no", "yes", "yes"], ["no"] * 3],
            ),
        ],
    ),
    Scenario(
        "tls_socket_by_endpoint",
        "transport_socket_matches: the first match of an endpoint's metadata, else the cluster's socket",
        rule="10 transport_socket_matches",
        upstreams={"a": Upstream(tls=Tls()), "b": Upstream(), "c": Upstream(tls=Tls())},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    [
                        endpoint("a", metadata={"envoy.transport_socket_match": {"mode": "tls", "more": 1}}),
                        endpoint("b", metadata={"envoy.transport_socket_match": {"mode": "raw"}}),
                        endpoint("c"),
                    ],
                    transport_socket_matches=[
                        {"name": "both", "match": {"mode": "tls", "more": 2}, "transport_socket": RAW},
                        {
                            "name": "tls",
                            "match": {"mode": "tls"},
                            "transport_socket": tls(sni="m.test")["transport_socket"],
                        },
                        {"name": "raw", "match": {"mode": "raw"}, "transport_socket": RAW},
                    ],
                    **tls(sni="own.test"),
                )
            ]
        ),
        calls=[times(6, get())],
        expect=[
            status(*[200] * 6),
            hits(a=2, b=2, c=2),
            see(
                "server names",
                lambda run: [run.at(name).requests[0].tls.get("sni") for name in "abc"],
                ["m.test", None, "own.test"],
            ),
        ],
    ),
    Scenario(
        "tls_closed_in_the_handshake",
        "a server that closes within the handshake: a connect failure without a reason, retried as such",
        rule="10 failures",
        upstreams={"a": Upstream(greeting="close"), "b": Upstream(tls=Tls())},
        policy=boot(
            [route("a", "/a"), route("both", retry_policy=retry("connect-failure", 1))],
            [cluster("a", **tls()), cluster("both", ["a", "b"], **tls())],
        ),
        calls=[times(4, get("/")), get("/a")],
        expect=[status(200, 200, 200, 200, 503), hits(b=4)],
    ),
    Scenario(
        "tls_client_certificate_unknown",
        "a client certificate that the server does not trust, with TLS 1.2: a failed handshake",
        rule="10 tls_certificates",
        upstreams=secured(client_ca="ca"),
        policy=to(certificate="stranger", common={"tls_params": {"tls_maximum_protocol_version": "TLSv1_2"}}),
        calls=[get()],
        expect=[status(503), flags("UF"), hits(a=0)],
    ),
]
