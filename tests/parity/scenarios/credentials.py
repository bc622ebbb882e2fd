"""The filter credential_injector (semantics 9.7)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import SDS, Document, boot, discovery, from_file, http_filter, route
from ..look import body, details, flags, got_each, hits, sent_each, status
from ..model import Scenario, Until, get, post, write
from ..upstreams.records import Request

KEY = "authorization"


def secret(name: str, text: str) -> Document:
    return {"name": name, "generic_secret": {"secret": {"inline_string": text}}}


def injector(*, credential: Document | None = None, **fields: Any) -> Document:
    kind = "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic"
    config = {"@type": kind, **(credential or {"credential": {"name": "token"}})}
    named = {"name": "envoy.http.injected_credentials.generic", "typed_config": config}
    return http_filter("credential_injector", "credential_injector.v3.CredentialInjector", credential=named, **fields)


def with_secrets(*filters: Document, **fields: Any) -> Document:
    made = boot(filters=filters, **fields)
    made["static_resources"]["secrets"] = [secret("token", "abc\n"), secret("empty", "")]
    return made


EMPTY = {"credential": {"name": "empty"}}


def followed(name: str = "token") -> Document:
    return {"credential": {"name": name, "sds_config": from_file("sds.yaml")}}


def _telling(request: Request) -> int:
    """200 once the second secret has come."""
    return 200 if request.header(KEY) == "two" else 201


SCENARIOS = [
    Scenario(
        "credential_injector_static",
        "a secret of the policy's own becomes the Authorization header; one that is there stays",
        rule="9.7",
        policy=with_secrets(injector()),
        calls=[get(), get(headers={KEY: "mine"}), get(headers={KEY: ""})],
        expect=[status(200, 200, 200), sent_each(KEY, "abc", "mine", "")],
    ),
    Scenario(
        "credential_injector_overwrite",
        "overwrite: the caller's own gives way",
        rule="9.7 overwrite",
        policy=with_secrets(injector(overwrite=True)),
        calls=[get(headers=[(KEY, "mine"), (KEY, "mine too")])],
        expect=[sent_each(KEY, "abc")],
    ),
    Scenario(
        "credential_injector_header",
        "another header, with a prefix",
        rule="9.7",
        policy=with_secrets(
            injector(credential={"credential": {"name": "token"}, "header": "X-Key", "header_value_prefix": "Key "})
        ),
        calls=[get(headers={KEY: "mine"})],
        expect=[sent_each("x-key", "Key abc"), sent_each(KEY, "mine")],
    ),
    Scenario(
        "credential_injector_nothing_to_inject",
        "an empty secret: 401 without a flag, unless there is a header already",
        rule="9.7",
        policy=with_secrets(injector(credential=EMPTY)),
        calls=[get(), get(headers={KEY: "mine"}), post("/", b"x", {"content-type": "application/grpc"})],
        expect=[
            status(401, 200, 200), hits(a=1), body("Failed to inject credential.", call=0), flags("-", "-", "-"),
            details("failed_to_inject_credential", "via_upstream", "failed_to_inject_credential"),
            got_each("grpc-status", None, None, "16"),
        ],
    ),
    Scenario(
        "credential_injector_allow_request_without_credential",
        "allow_request_without_credential lets such requests pass",
        rule="9.7 allow_request_without_credential",
        policy=with_secrets(injector(credential=EMPTY, allow_request_without_credential=True)),
        calls=[get()],
        expect=[status(200), sent_each(KEY, None)],
    ),
    Scenario(
        "credential_injector_off_for_a_route",
        "a route may switch the filter off",
        rule="1.1 typed_per_filter_config",
        policy=with_secrets(
            injector(),
            routes=[
                route(
                    prefix="/open",
                    more={
                        "typed_per_filter_config": {
                            "envoy.filters.http.credential_injector": {
                                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True,
                            }
                        }
                    },
                ),
                route(),
            ],
        ),
        calls=[get("/open"), get("/")],
        expect=[sent_each(KEY, None, "abc")],
    ),
    Scenario(
        "credential_injector_from_a_file",
        "a secret that a file brings, and the next one that it brings",
        rule="10 SDS",
        files={"sds.yaml": discovery(SDS, secret("token", "one"))},
        upstreams={"a": _telling},
        policy=boot(filters=[injector(credential=followed())]),
        calls=[
            get(),
            write("sds.yaml", discovery(SDS, secret("token", "two"), version="2")),
            Until(get(), lambda outcome: outcome.status == 200),
        ],
        expect=[status(201, 200)],
    ),
]  # fmt: skip
