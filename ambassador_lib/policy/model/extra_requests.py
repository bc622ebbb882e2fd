"""What makes more than one request of a call: mirroring, hedging, internal redirects (`envoy.config.route.v3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .message import message

if TYPE_CHECKING:
    from .core import HeaderChange, RuntimeFractionalPercent


@message
class RequestMirrorPolicy:
    """Sends a copy of requests to another cluster; its answer is dropped.
    Source: `envoy.config.route.v3.RouteAction.RequestMirrorPolicy`.

    `trace_sampled` unset: the copy is traced as the request is.
    """

    PROTO: ClassVar[str] = "envoy.config.route.v3.RouteAction.RequestMirrorPolicy"
    cluster: str = ""
    cluster_header: str = ""
    runtime_fraction: RuntimeFractionalPercent | None = None
    trace_sampled: bool | None = None
    disable_shadow_host_suffix_append: bool = False
    request_headers_mutations: tuple[HeaderChange, ...] = ()
    host_rewrite_literal: str = ""


@message
class HedgePolicy:
    """Lets a try that timed out go on beside the next one. Source: `envoy.config.route.v3.HedgePolicy`."""

    PROTO: ClassVar[str] = "envoy.config.route.v3.HedgePolicy"
    hedge_on_per_try_timeout: bool = False


@message
class PreviousRoutesConfig:
    """Follows no redirect to a route twice.
    Source: `envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig"


@message
class AllowListedRoutesConfig:
    """Follows redirects to routes of these names only.
    Source: `envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig"
    allowed_route_names: tuple[str, ...] = ()


@message
class SafeCrossSchemeConfig:
    """Follows no redirect from http to https.
    Source: `envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig`."""

    PROTO: ClassVar[str] = "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig"


@message
class TypedExtensionConfig:
    """An extension by name and type. Source: `envoy.config.core.v3.TypedExtensionConfig`."""

    PROTO: ClassVar[str] = "envoy.config.core.v3.TypedExtensionConfig"
    name: str = ""
    typed_config: Any = None


@message
class InternalRedirectPolicy:
    """Follows redirects of upstreams in the application's place.
    Source: `envoy.config.route.v3.InternalRedirectPolicy`.

    `max_internal_redirects` unset is 1; no `redirect_response_codes` is 302 alone.
    """

    PROTO: ClassVar[str] = "envoy.config.route.v3.InternalRedirectPolicy"
    max_internal_redirects: int | None = None
    redirect_response_codes: tuple[int, ...] = ()
    predicates: tuple[TypedExtensionConfig, ...] = ()
    allow_cross_scheme_redirect: bool = False
    response_headers_to_copy: tuple[str, ...] = ()
