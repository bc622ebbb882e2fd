"""Envoy's checks of active health checks."""

from __future__ import annotations

from .check_routes import check_added, check_removed
from .findings import Findings
from .model.cluster import Cluster, HealthCheck
from .model.core import Int64Range


def check_health_check(findings: Findings, check: HealthCheck, cluster: Cluster) -> None:
    """Check one health check of a cluster."""
    if not (check.http_health_check or check.tcp_health_check or check.grpc_health_check):
        message = "a health check needs http_health_check, tcp_health_check or grpc_health_check"
        findings.fault(check, "http_health_check", message)
    _check_texts(findings, check)
    if check.grpc_health_check is not None:
        options = cluster.http_protocol_options
        if options is None or options.protocol == "http1":
            message = "a gRPC health check needs a cluster that speaks HTTP/2"
            findings.fault(check, "grpc_health_check", message, "set explicit_http_config.http2_protocol_options")
        check_added(findings, check.grpc_health_check.initial_metadata)
    if check.http_health_check is not None:
        _check_payloads(findings, check.http_health_check)
        check_added(findings, check.http_health_check.request_headers_to_add)
        check_removed(findings, check.http_health_check, "request_headers_to_remove")
        for statuses in (check.http_health_check.expected_statuses, check.http_health_check.retriable_statuses):
            for status in statuses:
                _check_status_range(findings, status)


def _check_texts(findings: Findings, check: HealthCheck) -> None:
    payloads: list[HealthCheck.Payload | None] = []
    for checker in (check.http_health_check, check.tcp_health_check):
        if checker is not None:
            payloads += [checker.send, *checker.receive]
    for payload in payloads:
        if payload is not None and payload.text is not None and not _is_hex(payload.text):
            findings.fault(payload, "text", "a payload's text is hexadecimal")
    sent = check.tcp_health_check.send if check.tcp_health_check is not None else None
    if sent is not None and sent.binary is not None:
        findings.warn(sent, "binary", "no effect: a TCP check sends a text alone, in Envoy as well")


def _check_payloads(findings: Findings, check: HealthCheck.HttpHealthCheck) -> None:
    method = "GET" if check.method == "METHOD_UNSPECIFIED" else check.method
    if check.send is not None and method in ("GET", "HEAD", "DELETE", "TRACE"):
        findings.fault(check, "send", f"a {method} request has no body", "set method: POST, PUT, PATCH or OPTIONS")
    kept = 1024 if check.response_buffer_size is None else check.response_buffer_size
    wanted = sum(len(part.binary or b"") + len(part.text or "") // 2 for part in check.receive)
    if kept and wanted > kept:
        message = f"{wanted} bytes cannot be found in the {kept} that response_buffer_size keeps of an answer"
        findings.fault(check, "receive", message)


def _check_status_range(findings: Findings, status: Int64Range) -> None:
    if status.start < 100:
        findings.fault(status, "start", "a range of statuses starts at 100 or above")
    if status.end > 600:
        findings.fault(status, "end", "a range of statuses ends at 600 or below")
    if status.start >= status.end:
        findings.fault(status, "end", "the range is empty: end is exclusive")


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return " " not in text
