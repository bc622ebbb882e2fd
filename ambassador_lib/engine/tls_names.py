"""Subject alternative names of certificates, and Envoy's matchers of them (semantics 10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from ..policy.model.core import StringMatcher
from ..policy.model.tls import CertificateValidationContext, SubjectAltNameMatcher

SAN_TYPES = {"DNS": "DNS", "URI": "URI", "EMAIL": "email", "IP_ADDRESS": "IP Address"}
"""Envoy's names of SAN types, and those of `SSLSocket.getpeercert`."""

Names = Iterable[tuple[str, str]]
"""SANs as `getpeercert` tells them: type and value."""

NameCheck = Callable[[str, str], bool]
"""Tells whether a SAN of this type (as `getpeercert` names it) and value is one that was asked for."""


def name_checks(validation: CertificateValidationContext) -> tuple[NameCheck, ...]:
    """Return the policy's matchers; one of them must fit one of the names."""
    typed = [_typed_check(matcher) for matcher in validation.match_typed_subject_alt_names]
    if typed:  # the deprecated ones beside them do not count, as in Envoy
        return tuple(typed)
    return tuple(
        _typed_check(SubjectAltNameMatcher(san_type=san_type, matcher=matcher))
        for matcher in validation.match_subject_alt_names
        for san_type in SAN_TYPES
    )


def listed(names: Names) -> str:
    """Write the names as Envoy does in a failure's reason."""
    return ", ".join(plain_ip(name) if kind == SAN_TYPES["IP_ADDRESS"] else name for kind, name in names)


def is_name(kind: str, name: str, wanted: str) -> bool:
    """Whether a SAN, of whatever type, is `wanted`: of DNS names wildcards count, too."""
    if kind == "DNS":
        return dns_name_matches(wanted, name)
    return (plain_ip(name) if kind == SAN_TYPES["IP_ADDRESS"] else name) == plain_ip(wanted)


def _typed_check(wanted: SubjectAltNameMatcher) -> NameCheck:
    try:
        wanted_kind = SAN_TYPES[wanted.san_type]
    except KeyError:
        raise ValueError(f"match_typed_subject_alt_names: san_type {wanted.san_type} is not supported") from None
    exact = wanted.matcher.exact
    if wanted_kind == "DNS" and exact is not None:
        return lambda kind, name: kind == "DNS" and dns_name_matches(exact, name)
    matches = string_check(wanted.matcher)
    if wanted_kind == "IP Address":
        return lambda kind, name: kind == wanted_kind and matches(plain_ip(name))
    return lambda kind, name: kind == wanted_kind and matches(name)


def string_check(matcher: StringMatcher) -> Callable[[str], bool]:
    """Compile a matcher; `ValueError` says what is wrong with it."""
    if matcher.safe_regex is not None:
        return _regex_check(matcher.safe_regex.regex)

    def fold(text: str) -> str:
        return text.lower() if matcher.ignore_case else text

    if matcher.exact is not None:
        exact = fold(matcher.exact)
        return lambda name: fold(name) == exact
    if matcher.prefix is not None:
        prefix = fold(matcher.prefix)
        return lambda name: fold(name).startswith(prefix)
    if matcher.suffix is not None:
        suffix = fold(matcher.suffix)
        return lambda name: fold(name).endswith(suffix)
    if matcher.contains is not None:
        part = fold(matcher.contains)
        return lambda name: part in fold(name)
    raise ValueError("the matcher is empty")


def _regex_check(pattern: str) -> Callable[[str], bool]:
    try:
        import re2
    except ImportError:
        raise ValueError("safe_regex needs the package google-re2") from None
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error as error:
        raise ValueError(f"safe_regex {pattern!r}: {error}") from error
    return lambda name: compiled.fullmatch(name) is not None


def dns_name_matches(host: str, pattern: str) -> bool:
    """Match a host name against a certificate's, which may have one `*` in its first label (RFC 6125 6.4.3)."""
    host, pattern = host.lower(), pattern.lower()
    if host == pattern:
        return True
    label, _, domain = host.partition(".")
    wildcard, _, pattern_domain = pattern.partition(".")
    if not domain or domain != pattern_domain or wildcard.count("*") != 1 or wildcard.startswith("xn--"):
        return False
    start, _, end = wildcard.partition("*")
    return len(label) >= len(start) + len(end) and label.startswith(start) and label.endswith(end)


def plain_ip(text: str) -> str:
    """Write an IP address as everybody does; anything else stays as it is."""
    try:
        return str(ipaddress.ip_address(text.strip()))  # OpenSSL writes IPv6 in full and in upper case
    except ValueError:
        return text
