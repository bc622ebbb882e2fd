"""The breaker settings that live in a cluster's metadata."""

from __future__ import annotations

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import CircuitBreaker, Policy

from .documents import document


def metadata(content: str) -> str:
    return document(cluster=f"metadata: {{filter_metadata: {{ambassador_lib: {{{content}}}}}}}")


def breaker(settings: str) -> CircuitBreaker | None:
    return Policy.parse(metadata(f"circuit_breaker: {{{settings}}}")).clusters[0].circuit_breaker


def test_only_a_cluster_that_asks_has_a_breaker() -> None:
    """Envoy has no breaker of this kind, so a cluster without the metadata has none."""
    assert Policy.parse(document()).clusters[0].circuit_breaker is None
    assert Policy.parse(metadata("")).clusters[0].circuit_breaker is None
    assert breaker("") == CircuitBreaker()


def test_settings_are_written_as_envoy_writes_them() -> None:
    """Durations end in `s`, and numbers may be strings."""
    settings = (
        'failure_rate: 0.25, minimum_requests: "5", window: 2s, open_for: 0.5s, half_open_requests: 3, '
        "success_threshold: 2"
    )
    assert breaker(settings) == CircuitBreaker(
        failure_rate=0.25, minimum_requests=5, window=2.0, open_for=0.5, half_open_requests=3, success_threshold=2
    )


@pytest.mark.parametrize(
    ("content", "shown_at", "words"),
    [
        ("circuit_breaker: {failure_rte: 1}", "failure_rte", "no field 'failure_rte'; did you mean failure_rate?"),
        ("circuit_breakers: {}", "circuit_breakers", "ambassador_lib has no setting 'circuit_breakers'"),
        ("circuit_breaker: [1]", "[1]", "expected a mapping, not a list"),
        ("circuit_breaker: {failure_rate: 50}", "50", "50 is out of range"),
        ("circuit_breaker: {failure_rate: 0}", "0}", "0 is out of range"),
        ("circuit_breaker: {window: 500ms}", "500ms", "write 0.5s"),
        ("circuit_breaker: {window: 0s}", "0s", "must be greater than 0s"),
        ("circuit_breaker: {minimum_requests: 0}", "0}", "must be at least 1"),
        ("circuit_breaker: {half_open_requests: 1.5}", "1.5", "expected a whole number"),
    ],
)
def test_a_wrong_setting_is_refused_at_its_place(content: str, shown_at: str, words: str) -> None:
    """Unknown keys and values out of range are errors with line, column and path."""
    text = metadata(content)
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    (fault,) = caught.value.faults
    assert words in str(fault)
    assert fault.path.startswith('static_resources.clusters[0].metadata.filter_metadata["ambassador_lib"].circuit')
    line, column = map(int, fault.location.split(":")[1:])
    assert text.splitlines()[line - 1][column - 1 :].startswith(shown_at)


def test_other_metadata_is_kept() -> None:
    """What other filters keep in the metadata is left alone."""
    policy = Policy.parse(document(cluster="metadata: {filter_metadata: {envoy.lb: {a: b}}}"))
    assert policy.clusters[0].circuit_breaker is None
    assert policy.clusters[0].metadata is not None
    assert policy.clusters[0].metadata.filter_metadata == {"envoy.lb": {"a": "b"}}
