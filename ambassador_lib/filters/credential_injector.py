"""The credential_injector filter: gives requests a secret as a header.

Source: `envoy.extensions.filters.http.credential_injector.v3.CredentialInjector`; semantics 9.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..call import Answer, Call, Next
from ..errors import LocalReply, LocalReplyError
from ..policy.model import filters as model
from ..routing.mutations import set_lower_header
from .base import FilterContext, Layer, Scope


class CredentialInjector:
    """The filter of one listener. A secret that a file brings is read anew for each call."""

    def __init__(self, config: model.CredentialInjector, context: FilterContext) -> None:
        assert context.secrets is not None, "the stack has a store"
        generic: model.Generic = config.credential.typed_config
        self._secret = context.secrets.generic(generic.credential)
        self._header = (generic.header or "authorization").lower().encode("latin-1")
        self._prefix = generic.header_value_prefix.encode()
        self._overwrite = config.overwrite
        self._optional = config.allow_request_without_credential

    def prepare(self, config: Any) -> None:
        """No level of a route table sets anything for this filter."""

    def layer(self, scope: Scope, settings: Sequence[None]) -> Layer:  # noqa: ARG002 - every route alike
        """The same for every route."""
        return Layer(handle=self.handle)

    def handle(self, call: Call, next: Next) -> Answer:
        """Add the header, or refuse."""
        if self._overwrite or call.header(self._header) is None:
            secret = (self._secret.value or b"").strip()
            if secret:
                set_lower_header(call.headers, self._header, self._prefix + secret)
            elif not self._optional:
                message = "Failed to inject credential."
                raise LocalReplyError(message, reply=LocalReply(401, message, "", "failed_to_inject_credential"))
        return next(call)
