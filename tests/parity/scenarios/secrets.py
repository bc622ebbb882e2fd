"""Secrets of TLS settings: the policy's own, and those that files bring (semantics 10, SDS)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import SDS, Document, boot, cluster, discovery, from_file, key_pair, route, san, tls
from ..look import details, flags, hits, see, status
from ..model import Do, Scenario, Until, get, pause, write
from ..upstreams.replies import Reply, Tls, Upstream

LEAVING = Reply(headers={"connection": "close"})
NOT_SUPPLIED = (
    "upstream_reset_before_response_started{remote_connection_failure|TLS_error:_Secret_is_not_supplied_by_SDS}"
)


def own(document: Document, *secrets: Document) -> Document:
    document["static_resources"]["secrets"] = list(secrets)
    return document


def sds(name: str, file: str | None = None) -> Document:
    return {"name": name, **({"sds_config": from_file(file)} if file is not None else {})}


def secured(to: str = "a", **common: Any) -> Document:
    return cluster(to, **tls(None, common=common))


def trusting(authority: str, name: str = "ca") -> Document:
    return {"name": name, "validation_context": {"trusted_ca": {"filename": authority}}}


def secret(*resources: Document) -> Document:
    return discovery(SDS, *resources)


def copy(certificate: str, name: str) -> Do:
    """Move a copy of one of the session's files to a place in the run's folder."""
    return Do(lambda run: run.site.write(name, (run.site.certificates / certificate).read_text()))


def is_status(code: int) -> Any:
    return lambda outcome: outcome.status == code


def client_names(*expected: Any) -> Any:
    return see("client names", lambda run: [one.tls["client"] for one in run.at("a").requests], list(expected))


GOOD = secret(trusting("${pem:ca.crt}"))
FROM_FILE = {"validation_context_sds_secret_config": sds("ca", "ca.yaml")}

SCENARIOS = [
    Scenario(
        "sds_static",
        "the policy's own secrets: certificate and authority by name, each kind with names of its own",
        rule="10 SDS",
        upstreams={"a": Upstream(tls=Tls(client_ca="ca")), "b": Upstream(tls=Tls("stranger"))},
        policy=own(
            boot(
                [route("a", "/a"), route("b", "/b")],
                [
                    secured(
                        name,
                        tls_certificate_sds_secret_configs=[sds("mine")],
                        validation_context_sds_secret_config=sds("mine"),
                    )
                    for name in "ab"
                ],
            ),
            {"name": "mine", "tls_certificate": key_pair("client")},
            trusting("${pem:ca.crt}", "mine"),
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(200, 503), client_names("client"), hits(b=0)],
    ),
    Scenario(
        "sds_static_combined",
        "combined_validation_context: the secret's authority beside the names of the default",
        rule="10 combined_validation_context",
        upstreams={"a": Upstream(tls=Tls()), "b": Upstream(tls=Tls("other"))},
        policy=own(
            boot(
                [route("a", "/a"), route("b", "/b")],
                [
                    secured(
                        name,
                        combined_validation_context={
                            "default_validation_context": {"match_typed_subject_alt_names": [san("upstream.test")]},
                            "validation_context_sds_secret_config": sds("ca"),
                        },
                    )
                    for name in "ab"
                ],
            ),
            trusting("${pem:ca.crt}"),
        ),
        calls=[get("/a"), get("/b")],
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "sds_file",
        "a secret from a file",
        rule="10 SDS",
        upstreams={"a": Upstream(tls=Tls()), "b": Upstream(tls=Tls("stranger"))},
        policy=boot([route("a", "/a"), route("b", "/b")], [secured(name, **FROM_FILE) for name in "ab"]),
        files={"ca.yaml": GOOD},
        calls=[get("/a"), get("/b")],
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "sds_not_supplied",
        "a file with another secret's name: every request fails until the right one comes",
        rule="10 SDS never delivered",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[secured(**FROM_FILE)]),
        files={"ca.yaml": secret(trusting("${pem:ca.crt}", "another"))},
        calls=[get("/first"), write("ca.yaml", GOOD), Until(get(), is_status(200))],
        expect=[
            status(503, 200),
        ],
    ),
    Scenario(
        "sds_not_supplied_told",
        "Secret is not supplied by SDS: a connect failure with that reason",
        rule="10 SDS never delivered",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[secured(**FROM_FILE)]),
        files={"ca.yaml": secret()},
        calls=[get()],
        expect=[status(503), flags("UF"), details(NOT_SUPPLIED), hits(a=0)],
    ),
    Scenario(
        "sds_two_resources",
        "a file holds one secret: one with two is refused",
        rule="10 SDS",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[secured(**FROM_FILE)]),
        files={"ca.yaml": secret(trusting("${pem:ca.crt}"), trusting("${pem:ca.crt}", "b"))},
        calls=[get()],
        expect=[status(503), details(NOT_SUPPLIED)],
    ),
    Scenario(
        "sds_material_appears",
        "the files that a secret names may come later",
        rule="10 SDS files watched",
        upstreams={"a": Upstream(tls=Tls())},
        policy=boot(clusters=[secured(**FROM_FILE)]),
        files={"ca.yaml": secret(trusting("${file:ca.crt}"))},
        calls=[get(), copy("ca.crt", "ca.crt"), Until(get(), is_status(200))],
        expect=[status(503, 200)],
    ),
    Scenario(
        "sds_rotation_is_for_new_connections",
        "another authority is for new connections: the one that stands goes on",
        rule="10 SDS new connections only",
        upstreams={"a": Upstream(tls=Tls()), "b": Upstream(LEAVING, tls=Tls())},
        policy=boot([route("a", "/a"), route("b", "/b")], [secured(name, **FROM_FILE) for name in "ab"]),
        files={"ca.yaml": GOOD},
        calls=[
            get("/a"),
            get("/b"),
            write("ca.yaml", secret(trusting("${pem:stranger_ca.crt}"))),
            Until(get("/b"), is_status(503)),
            get("/a"),
        ],
        expect=[status(200, 200, 503, 200), see("connections", lambda run: run.at("a").connections, 1)],
    ),
    Scenario(
        "sds_half_a_pair",
        "a certificate without its key is refused, the old pair stays; with the key both are taken",
        rule="10 SDS key rotation",
        upstreams={"a": Upstream(LEAVING, tls=Tls(client_ca="ca"))},
        policy=boot(
            clusters=[secured(tls_certificate_sds_secret_configs=[sds("pair", "pair.yaml")])],
        ),
        files={
            "pair.yaml": secret(
                {
                    "name": "pair",
                    "tls_certificate": {
                        "certificate_chain": {"filename": "${file:pair.crt}"},
                        "private_key": {"filename": "${file:pair.key}"},
                    },
                }
            )
        },
        calls=[
            copy("client.crt", "pair.crt"),
            copy("client.key", "pair.key"),
            Until(get("/ready"), is_status(200)),
            copy("server.crt", "pair.crt"),
            pause(0.6),
            get("/half"),
            copy("server.key", "pair.key"),
            pause(1.5),
            get("/whole"),
        ],
        expect=[
            status(200, 200, 200),
            see(
                "client names",
                lambda run: {one.path: one.tls["client"] for one in run.at("a").requests},
                {"/ready": "client", "/half": "client", "/whole": "server"},
            ),
        ],
    ),
    Scenario(
        "sds_bad_update",
        "an update that cannot be used leaves the last secret in force",
        rule="10 SDS, 8.3",
        upstreams={"a": Upstream(LEAVING, tls=Tls())},
        policy=boot(clusters=[secured(**FROM_FILE)]),
        files={"ca.yaml": GOOD},
        calls=[
            get(),
            write("ca.yaml", secret(trusting("${pem:stranger_ca.crt}", "another"))),
            pause(0.6),
            get(),
            write("ca.yaml", "{{{"),
            pause(0.6),
            get(),
        ],
        expect=[status(200, 200, 200), hits(a=3)],
    ),
]
