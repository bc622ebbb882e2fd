"""The command operators of headers, bodies and access logs, `%NAME(argument):length%`: parsed and checked here.

Pure text work, so that the loader can refuse a bad value with its place and `routing/format.py` can compile a good
one. Source: Envoy, "Access logging: command operators"; which operators there are, and which take arguments and
lengths, was asked of Envoy 1.40 itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPERATOR = re.compile(r"%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%")
_HEADER_NAME = re.compile(r":?[!#$&'*+.^_`|~0-9A-Za-z-]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLAIN = _words("""
    ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CUSTOM_FLAGS CONNECTION_TERMINATION_DETAILS
    DOWNSTREAM_CX_RTT DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_PORT
    DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_PORT DOWNSTREAM_REMOTE_ADDRESS
    DURATION GRPC_STATUS GRPC_STATUS_NUMBER HOSTNAME LISTENER_NAME LOCAL_REPLY_BODY PACKETS_RETRANSMITTED PROTOCOL
    REQUESTED_SERVER_NAME REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_DURATION
    RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION ROUTE_NAME
    SPAN_ID STREAM_ID TRACE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_HOST UPSTREAM_HOSTS_ATTEMPTED
    UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_PROTOCOL
    UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_SERVER_NAME
    UPSTREAM_TRANSPORT_FAILURE_REASON
""")
"""Operators without argument and length that are rendered."""

UNSET = _words("""
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID
    DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN
    DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT
    DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS
    DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256
    DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256
    DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT
    DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID
    DOWNSTREAM_TLS_VERSION DOWNSTREAM_TRANSPORT_FAILURE_REASON FILTER_CHAIN_NAME ROUNDTRIP_DURATION
    TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
""")
"""Operators of what plain HTTP over TCP never has, in Envoy as here: they render as unset."""

UNKNOWN = _words("""
    CONNECTION_ID DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
    DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_REMOTE_PORT
    DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US
    UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_CONNECTION_POOL_READY_DURATION
    UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DETECTED_CLOSE_TYPE
    UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_CLOSE_REASON
    UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT
    UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN
    UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_WIRE_BYTES_RECEIVED
    UPSTREAM_WIRE_BYTES_SENT UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_CERT_V_END
    FILTER_STATE UPSTREAM_FILTER_STATE CEL COALESCE UNIQUE_ID VIRTUAL_CLUSTER_NAME UPSTREAM_HOST_NAMES_ATTEMPTED
    UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
""")
"""Operators that Envoy renders and nobody here can tell: refused in headers and bodies, unset in access logs."""

_HEADER_ARGUMENT = _words("REQ REQUEST_HEADER RESP RESPONSE_HEADER TRAILER RESPONSE_TRAILER STREAM_INFO_REQ")
_LONG_ARGUMENT = _words("ENVIRONMENT QUERY_PARAM DYNAMIC_METADATA METADATA")
_ARGUMENT = _words("COMMON_DURATION CLUSTER_METADATA UPSTREAM_METADATA")
_OPTIONAL_LONG = _words("PATH QUERY_PARAMS")
_OPTIONAL = _words("""
    START_TIME START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL RESPONSE_CODE_DETAILS
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT
    DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
    DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_PEER_CERT_V_START
    DOWNSTREAM_PEER_CERT_V_END
""")  # fmt: skip
_NEEDED = _HEADER_ARGUMENT | _LONG_ARGUMENT | _ARGUMENT
OPERATORS = PLAIN | UNSET | _NEEDED | _OPTIONAL_LONG | _OPTIONAL
"""All operators that a header value may hold."""

METADATA_KINDS = _words("DYNAMIC CLUSTER ROUTE UPSTREAM_HOST LISTENER VIRTUAL_HOST LISTENER_FILTER_CHAIN")
UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}
"""Of `COMMON_DURATION`: how many make a second."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One command operator; `length` cuts what it renders to."""

    name: str
    argument: str | None = None
    length: int | None = None

    def alternatives(self) -> tuple[str, ...]:
        """Return the header names of `REQ(a?b)` in the order in which they are tried, lower case."""
        return tuple(name.lower() for name in (self.argument or "").split("?") if name)


def parse(value: str, *, log: bool = False) -> tuple[str | Operator, ...]:
    """Split a value into literal text and operators; `ValueError` says what is wrong with it.

    `log`: an operator whose value nobody here can tell is fine, since a log shows it as unset.
    """
    parts: list[str | Operator] = []
    literal = ""
    position = 0
    while position < len(value):
        at = value.find("%", position)
        if at < 0:
            literal += value[position:]
            break
        literal += value[position:at]
        if value.startswith("%%", at):
            literal += "%"
            position = at + 2
            continue
        found = _OPERATOR.match(value, at)
        if found is None:
            raise ValueError(f"no command operator at position {at} of {value!r} (a plain percent sign is written %%)")
        if literal:
            parts.append(literal)
            literal = ""
        name, argument, length = found.groups()
        parts.append(_checked(Operator(name, argument or None, None if length is None else int(length)), log=log))
        position = found.end()
    if literal:
        parts.append(literal)
    return tuple(parts)


def check(value: str, *, log: bool = False) -> str | None:
    """Return what is wrong with a value, `None` if nothing is."""
    try:
        parse(value, log=log)
    except ValueError as error:
        return str(error)
    return None


def _checked(operator: Operator, *, log: bool) -> Operator:
    name, argument = operator.name, operator.argument
    if name in UNKNOWN:
        if not log:
            raise ValueError(f"command operator {name} is not supported in headers and bodies: nobody here can tell it")
        return operator
    if name not in OPERATORS:
        raise ValueError(f"command operator {name} is unknown or not supported")
    if name in PLAIN | UNSET and (argument is not None or operator.length is not None):
        raise ValueError(f"command operator {name} takes no argument and no length")
    if name in _NEEDED and not argument:
        raise ValueError(f"command operator {name} needs an argument")
    if name in _OPTIONAL | _ARGUMENT and operator.length is not None:
        raise ValueError(f"command operator {name} takes no length")
    _check_argument(operator)
    return operator


def _check_argument(operator: Operator) -> None:
    name, argument = operator.name, operator.argument
    if name in _HEADER_ARGUMENT:
        _check_header_names(operator)
    elif name == "PATH":
        _check_path_options(argument)
    elif name == "QUERY_PARAMS" and argument not in (None, "ORIG", "DECODED"):
        raise ValueError(f"command operator QUERY_PARAMS: {argument!r} is neither ORIG nor DECODED")
    elif name == "METADATA" and (kind := str(argument).partition(":")[0]) not in METADATA_KINDS:
        raise ValueError(f"command operator METADATA: {kind!r} is none of {', '.join(sorted(METADATA_KINDS))}")
    elif name == "COMMON_DURATION":
        points = str(argument).split(":")
        if len(points) not in (2, 3) or points[2:] not in ([], *([unit] for unit in UNITS)):
            raise ValueError(f"command operator COMMON_DURATION takes START:END and ms, us or ns, not {argument!r}")


def _check_header_names(operator: Operator) -> None:
    names = operator.alternatives()
    if len(names) > 2:
        raise ValueError(f"command operator {operator.name} takes one alternative header, not {operator.argument!r}")
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"command operator {operator.name}: {name!r} is not a header name")


def _check_path_options(argument: str | None) -> None:
    options = (argument or "").split(":")
    if options[0] not in ("", "WQ", "NQ"):
        raise ValueError(f"command operator PATH: {options[0]!r} is neither WQ nor NQ")
    if options[1:2] not in ([], ["ORIG"], ["PATH"], ["ORIG_OR_PATH"]):
        raise ValueError(f"command operator PATH: {argument!r} names none of ORIG, PATH, ORIG_OR_PATH")
