"""The transport socket of an endpoint: the first match of its metadata, else the cluster's own."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.engine.transport_sockets import METADATA, TransportSockets
from ambassador_lib.policy.model import Cluster, Metadata, RawBuffer, TransportSocket, UpstreamTlsContext
from ambassador_lib.policy.model.core import FrozenDict

PLAIN = TransportSocket(name="p", typed_config=RawBuffer())


def named(sni: str) -> TransportSocket:
    return TransportSocket(name="t", typed_config=UpstreamTlsContext(sni=sni))


def sockets(*matches: tuple[dict[str, Any], TransportSocket], own: TransportSocket | None = None) -> TransportSockets:
    return TransportSockets.of(
        Cluster(
            name="c",
            transport_socket=own,
            transport_socket_matches=tuple(
                Cluster.TransportSocketMatch(name=str(number), match=FrozenDict(match), transport_socket=socket)
                for number, (match, socket) in enumerate(matches)
            ),
        )
    )


def chosen(found: TransportSockets, labels: dict[str, Any] | None) -> str | None:
    metadata = None if labels is None else Metadata(filter_metadata=FrozenDict({METADATA: FrozenDict(labels)}))
    tls = found.choose(metadata)
    return None if tls is None else tls.sni


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"tier": "a"}, "first"),
        ({"tier": "a", "more": 1}, "first"),
        ({"tier": "b", "secure": True}, "second"),
        ({"tier": "b", "secure": 1}, "own"),
        ({"tier": "b"}, "own"),
        ({"tier": ("x", "a")}, "first"),
        ({"tier": "plain"}, None),
        ({}, "own"),
        (None, "own"),
    ],
)
def test_the_first_match_counts(labels: dict[str, Any] | None, expected: str | None) -> None:
    """Every label of a match must be the endpoint's; of a list of the endpoint's, one will do."""
    found = sockets(
        ({"tier": "a"}, named("first")),
        ({"tier": "b", "secure": True}, named("second")),
        ({"tier": "plain"}, PLAIN),
        own=named("own"),
    )
    assert chosen(found, labels) == expected
    assert not found.is_plain


def test_an_empty_match_is_for_everybody() -> None:
    """Nothing asked for is there always, without metadata, too."""
    assert chosen(sockets(({}, named("any")), own=PLAIN), None) == "any"


def test_without_tls_anywhere() -> None:
    """A cluster of plain sockets is known to be one."""
    assert sockets(({"a": 1}, PLAIN)).is_plain
    assert chosen(sockets(({"a": 1}, PLAIN)), {"a": 1}) is None
