"""Internal, external and edge requests (semantics 1.2)."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.policy.model.core import CidrRange
from ambassador_lib.policy.model.listener import HttpConnectionManager, InternalAddressConfig
from ambassador_lib.policy.model.route import RouteConfiguration
from ambassador_lib.routing import internal
from ambassador_lib.routing.internal import EDGE_REMOVED, EXTERNAL_REMOVED, AddressGate, local_address

from .calls import call_to, values

PRIVATE = InternalAddressConfig()
TWENTY = InternalAddressConfig(cidr_ranges=(CidrRange(address_prefix="20.1.2.3", prefix_len=8),))
ALL = InternalAddressConfig(cidr_ranges=(CidrRange(address_prefix="0.0.0.0"),))


def gate(**fields: Any) -> AddressGate:
    return AddressGate(HttpConnectionManager(stat_prefix="x", **fields))


@pytest.mark.parametrize(
    ("use_remote_address", "config", "forwarded_for", "expected"),
    [
        (False, None, [], False),
        (False, None, ["127.0.0.1"], False),
        (True, None, [], False),
        (False, PRIVATE, [], False),
        (False, PRIVATE, ["127.0.0.1"], True),
        (False, PRIVATE, ["127.0.0.2"], False),
        (False, PRIVATE, ["10.1.1.1"], True),
        (False, PRIVATE, ["172.31.1.1"], True),
        (False, PRIVATE, ["172.32.1.1"], False),
        (False, PRIVATE, ["::1"], True),
        (False, PRIVATE, ["fd00::1"], True),
        (False, PRIVATE, ["fc00::1"], False),
        (False, PRIVATE, ["10.1.1.1, 10.1.1.2"], False),
        (False, PRIVATE, ["10.1.1.1", "10.1.1.2"], False),
        (False, PRIVATE, ["8.8.8.8"], False),
        (False, PRIVATE, ["10.1.1.1:80"], False),
        (False, PRIVATE, ["unknown"], False),
        (False, PRIVATE, [""], False),
        (True, PRIVATE, [], True),
        (True, PRIVATE, ["127.0.0.1"], False),
        (False, TWENTY, ["20.9.9.9"], True),
        (False, TWENTY, ["10.1.1.1"], False),
        (True, TWENTY, [], False),
        (True, ALL, [], True),
    ],
)
def test_who_is_internal(
    use_remote_address: bool, config: InternalAddressConfig | None, forwarded_for: list[str], expected: bool
) -> None:
    """Nobody by default; else whose one trusted address lies in the ranges. Edge is external at the first hop."""
    one = gate(use_remote_address=use_remote_address, internal_address_config=config)
    lines = [line.encode() for line in forwarded_for]
    assert one.classify(lines) == (expected, use_remote_address and not expected)


EVERY_CONTROL_HEADER = sorted(name.decode() for name in EDGE_REMOVED)
KEPT = ["x-envoy-attempt-count", "x-envoy-foo", "x-mine"]


def admitted(one: AddressGate, *forwarded_for: str, names: list[str]) -> tuple[set[str], Any]:
    call = call_to(headers=[(name, "v") for name in names])
    one.admit(call, [value.encode() for value in forwarded_for])
    return {name.decode() for name, value in call.headers if value == b"v"}, call


def test_an_external_request_loses_its_control_headers() -> None:
    """What only internal callers may say is removed, with what the route configuration reserves for them."""
    one = gate(route_config=RouteConfiguration(internal_only_headers=("X-Only",)))
    left, call = admitted(one, names=[*EVERY_CONTROL_HEADER, *KEPT, "x-only"])
    assert left == {name.decode() for name in EDGE_REMOVED - EXTERNAL_REMOVED} | set(KEPT)
    assert (call.internal, call.edge) == (False, False)


def test_an_edge_request_loses_more() -> None:
    """With `use_remote_address` an external request may not tell its history either, and gets its address told."""
    left, call = admitted(
        gate(use_remote_address=True), names=[*EVERY_CONTROL_HEADER, *KEPT, "x-envoy-external-address"]
    )
    assert left == set(KEPT)
    assert values(call.headers, "x-envoy-external-address") == ["127.0.0.1"]
    assert (call.internal, call.edge) == (False, True)


def test_an_internal_request_keeps_everything() -> None:
    """An internal caller may steer, and upstreams are told that it was one."""
    one = gate(use_remote_address=True, internal_address_config=PRIVATE)
    left, call = admitted(one, names=[*EVERY_CONTROL_HEADER, *KEPT])
    assert left == {*EVERY_CONTROL_HEADER, *KEPT} - {"x-envoy-internal"}
    assert values(call.headers, "x-envoy-internal") == ["true"]
    assert (call.internal, call.edge) == (True, False)


@pytest.mark.parametrize(
    ("fields", "forwarded_for", "expected"),
    [
        ({}, [], []),
        ({}, ["10.1.2.3, 10.1.2.4"], ["10.1.2.3, 10.1.2.4"]),
        ({"use_remote_address": True}, [], ["192.0.2.7"]),
        ({"use_remote_address": True}, ["10.1.2.3"], ["10.1.2.3,192.0.2.7"]),
        ({"use_remote_address": True}, [""], ["192.0.2.7"]),
        ({"use_remote_address": True, "skip_xff_append": True}, ["10.1.2.3"], ["10.1.2.3"]),
    ],
)
def test_x_forwarded_for(
    fields: dict[str, Any], forwarded_for: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `use_remote_address` the node's own address is appended in place of a loopback peer's."""
    monkeypatch.setattr(internal, "local_address", lambda: b"192.0.2.7")
    _, call = admitted(gate(**fields), *forwarded_for, names=[])
    assert values(call.headers, "x-forwarded-for") == expected


def test_the_local_address_is_one() -> None:
    """It is an IPv4 address, looked up once."""
    parts = local_address().split(b".")
    assert len(parts) == 4
    assert local_address() is local_address()
