"""Values of enums that are refused, each with a message that names what is missing."""

from __future__ import annotations

ORIGINAL = (
    "ORIGINAL_DST clusters are not supported: nothing is redirected inside the process, and hosts named by "
    "x-envoy-original-dst-host are not supported yet"
)

REFUSED_VALUES: dict[str, dict[str, str]] = {
    "envoy.config.cluster.v3.Cluster.type": {
        "ORIGINAL_DST": ORIGINAL,
    },
    "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.san_type": {
        "OTHER_NAME": "SANs of type OTHER_NAME are not supported: Python's ssl module does not read them",
    },
    "envoy.config.core.v3.HealthCheck.HttpHealthCheck.codec_client_type": {"HTTP3": "HTTP/3 is not supported"},
}
