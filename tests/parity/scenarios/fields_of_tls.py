"""Fields of TLS settings that are seldom set (semantics 10)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, route, tls
from ..expect import Re
from ..look import details, flags, hits, see, status
from ..model import Scenario, Until, get, pause, write
from ..upstreams.replies import Reply, Tls, Upstream
from .secrets import copy, is_status, sds, secret, secured

LEAVING = Reply(headers={"connection": "close"})
WATCHED = {"watched_directory": {"path": "${file:watched}"}}
TRIGGER = write("watched/trigger", "again")
PRESENT = {"watched/trigger": "first", "material/nothing": "yet"}
NEWEST = {"tls_maximum_protocol_version": "TLSv1_3"}


def _two(first: Document, second: Document, **upstream: Any) -> Document:
    """Scenario parts: two clusters that differ in their TLS settings, with an upstream each."""
    return {
        "upstreams": {name: Upstream(tls=Tls(**upstream)) for name in "ab"},
        "policy": boot(
            [route("a", "/a"), route("b", "/b")], [cluster("a", **tls(**first)), cluster("b", **tls(**second))]
        ),
        "calls": [get("/a"), get("/b")],
    }


SCENARIOS = [
    Scenario(
        "tls_key_with_password",
        "a client's key may be locked: password opens it",
        rule="10 tls_certificates",
        upstreams={"a": Upstream(tls=Tls(client_ca="ca"))},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    **tls(
                        common={
                            "tls_certificates": [
                                {
                                    "certificate_chain": {"filename": "${pem:client.crt}"},
                                    "private_key": {"filename": "${pem:client_locked.key}"},
                                    "password": {"inline_string": "sesame"},
                                }
                            ]
                        }
                    ),
                )
            ]
        ),
        calls=[get()],
        expect=[status(200), see("client", lambda run: run.at("a").requests[0].tls["client"], "client")],
    ),
    Scenario(
        "tls_curve_in_common",
        "ecdh_curves: a server of that curve alone is reached, one of another is not",
        rule="10 ecdh_curves",
        **_two(
            {"common": {"tls_params": {"ecdh_curves": ["P-384"], **NEWEST}}},
            {"common": {"tls_params": {"ecdh_curves": ["P-256"], **NEWEST}}},
            curve="secp384r1",
        ),
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "tls_crl_of_the_leaf_alone",
        "only_verify_leaf_cert_crl: no list is needed but that of the authority that signed the certificate itself",
        rule="10 crl",
        **_two(
            {"ca": "root", "validation": {"crl": {"filename": "${pem:middle.crl}"}, "only_verify_leaf_cert_crl": True}},
            {"ca": "root", "validation": {"crl": {"filename": "${pem:middle.crl}"}}},
            certificate="chained",
        ),
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "tls_crl_names_the_certificate",
        "a certificate on its authority's list is not taken",
        rule="10 crl",
        **_two(
            {"ca": "root", "validation": {"crl": {"filename": "${pem:middle.crl}"}, "only_verify_leaf_cert_crl": True}},
            {"ca": "root"},
            certificate="revoked",
        ),
        expect=[status(503, 200), hits(a=0, b=1)],
    ),
    Scenario(
        "tls_san_deprecated_other",
        "match_subject_alt_names: no name of the certificate matches",
        rule="10",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[cluster("a", **tls(validation={"match_subject_alt_names": [{"exact": "x.test"}]}))]),
        calls=[get()],
        expect=[status(503), flags("UF"), details(Re(".*SAN_matcher.*")), hits(a=0)],
    ),
    Scenario(
        "tls_auto_sni_by_older_field",
        "upstream_http_protocol_options of the cluster itself: auto_sni",
        rule="1.3 deprecated forms",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[cluster("a", **tls(), upstream_http_protocol_options={"auto_sni": True})]),
        calls=[get("/", {"host": "named.test"})],
        expect=[status(200), see("name", lambda run: run.at("a").requests[0].tls["sni"], "named.test")],
    ),
    Scenario(
        "sds_watched_directory_of_authorities",
        "watched_directory of a validation context: what is moved there makes the files be read, and nothing else does",
        rule="10 SDS watched_directory",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[secured(validation_context_sds_secret_config=sds("ca", "ca.yaml"))]),
        files={
            **PRESENT,
            "ca.yaml": secret(
                {
                    "name": "ca",
                    "validation_context": {"trusted_ca": {"filename": "${file:material/ca.crt}"}, **WATCHED},
                }
            ),
        },
        calls=[
            get(),
            copy("ca.crt", "material/ca.crt"),
            pause(0.5),
            get(),
            TRIGGER,
            Until(get(), is_status(200)),
        ],
        expect=[status(503, 503, 200)],
    ),
    Scenario(
        "sds_watched_directory_of_certificates",
        "watched_directory of a certificate: what is moved there makes the files be read, and nothing else does",
        rule="10 SDS watched_directory",
        upstreams={"a": Upstream(LEAVING, tls=Tls(client_ca="ca"))},
        policy=boot(clusters=[secured(tls_certificate_sds_secret_configs=[sds("pair", "pair.yaml")])]),
        files={
            **PRESENT,
            "pair.yaml": secret(
                {
                    "name": "pair",
                    "tls_certificate": {
                        "certificate_chain": {"filename": "${file:material/pair.crt}"},
                        "private_key": {"filename": "${file:material/pair.key}"},
                        **WATCHED,
                    },
                }
            ),
        },
        calls=[
            get(),
            copy("client.crt", "material/pair.crt"),
            copy("client.key", "material/pair.key"),
            pause(0.5),
            get(),
            TRIGGER,
            Until(get(), is_status(200)),
        ],
        expect=[status(503, 503, 200)],
    ),
]
