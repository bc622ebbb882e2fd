"""The credential_injector filter (`envoy.extensions.filters.http.credential_injector.v3`)."""

from __future__ import annotations

from typing import ClassVar

from ..extra_requests import TypedExtensionConfig
from ..message import message
from ..tls import SdsSecretConfig


@message
class Generic:
    """A secret as a header, behind a prefix; `header` unset is `Authorization`.
    Source: `envoy.extensions.http.injected_credentials.generic.v3.Generic`."""

    PROTO: ClassVar[str] = "envoy.extensions.http.injected_credentials.generic.v3.Generic"
    credential: SdsSecretConfig
    header: str = ""
    header_value_prefix: str = ""


@message
class CredentialInjector:
    """Gives requests a credential; one that is there already stays unless `overwrite`. Without one to give: 401, or the
    request as it is. Source: `envoy.extensions.filters.http.credential_injector.v3.CredentialInjector`; semantics 9.7.
    """

    PROTO: ClassVar[str] = "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
    credential: TypedExtensionConfig
    overwrite: bool = False
    allow_request_without_credential: bool = False
