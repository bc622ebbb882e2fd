"""The filter credential_injector (semantics 9.7), through the public transports."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib import LocalReplyError, PolicyError
from ambassador_lib.policy import Policy

from .documents import ROUTER, TYPE, Document
from .harness import Spec, bootstrap, told


def injecting(secret: Document, *, named: str = "token", **fields: Any) -> Document:
    generic = {"@type": f"{TYPE}.http.injected_credentials.generic.v3.Generic", "credential": {"name": named}}
    config = {"credential": {"name": "generic", "typed_config": generic}, **fields}
    kind = f"{TYPE}.filters.http.credential_injector.v3.CredentialInjector"
    one = {"name": "envoy.filters.http.credential_injector", "typed_config": {"@type": kind, **config}}
    policy = bootstrap(manager={"http_filters": [one, ROUTER]})
    policy["static_resources"]["secrets"] = [{"name": "token", "generic_secret": {"secret": secret}}]
    return policy


def test_a_secret_becomes_a_header(spec: Spec) -> None:
    """Without the line's end that files have; a header that is there stays."""
    spec.given(injecting({"inline_string": "abc\n"}))
    spec.get()
    spec.get(headers={"authorization": "mine"})
    assert ["abc", "mine"] == [request.headers["authorization"] for request in spec.upstream.seen]


def test_without_a_secret_nothing_is_sent(spec: Spec) -> None:
    """401, unless the policy lets such requests pass."""
    with pytest.raises(LocalReplyError) as caught:
        spec.given(injecting({"inline_string": ""})).get()
    assert (401, "failed_to_inject_credential") == (caught.value.reply.status, told(caught.value).details)
    assert [] == spec.upstream.seen
    spec.given(injecting({"inline_string": ""}, allow_request_without_credential=True)).get()
    assert "authorization" not in spec.upstream.seen[0].headers
    spec.assert_nothing_held()


def test_a_secret_that_is_not_there_is_a_fault() -> None:
    """The policy names it, and has none of that name."""
    with pytest.raises(PolicyError, match="no generic_secret named 'other'"):
        Policy.parse(injecting({"inline_string": "abc"}, named="other"))


def test_other_kinds_of_credentials_are_refused() -> None:
    """A token that another server gives is none that is here."""
    policy = injecting({"inline_string": "abc"})
    manager = policy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    credential = manager["http_filters"][0]["typed_config"]["credential"]
    credential["typed_config"] = {"@type": f"{TYPE}.http.injected_credentials.oauth2.v3.OAuth2"}
    with pytest.raises(PolicyError, match="oauth2 are not supported: only generic"):
        Policy.parse(policy)
