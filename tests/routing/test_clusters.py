"""Which cluster a route picks (semantics 1.6)."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from ambassador_lib.policy.model.core import FractionalPercent, RuntimeFractionalPercent
from ambassador_lib.policy.model.route import RouteAction, RouteMatch, WeightedCluster
from ambassador_lib.routing.clusters import compile_pick
from ambassador_lib.testing import FakeClock

from .calls import Dice, add, call_to, compiled, direct, route, table, values, virtual_host

Weight = WeightedCluster.ClusterWeight


def split(*weights: Weight, header_name: str | None = None, runtime_key_prefix: str = "") -> RouteAction:
    return RouteAction(
        weighted_clusters=WeightedCluster(
            clusters=weights, header_name=header_name, runtime_key_prefix=runtime_key_prefix
        )
    )


def picked(action: RouteAction, *headers: tuple[str, str], draw: int = 0) -> str | None:
    choice = compiled(route(route=action)).pick_cluster(call_to(headers=headers), Dice(draw))
    return None if choice is None else choice.cluster


def test_a_named_cluster() -> None:
    """`cluster` is always picked, and no number drawn for it."""
    dice = Dice()
    choice = compiled(route()).pick_cluster(call_to(), dice)
    assert choice is not None
    assert (choice.cluster, choice.weight, dice.throws) == ("a", None, 0)


@pytest.mark.parametrize(
    ("headers", "cluster"),
    [
        ([("x-cluster", "b")], "b"),
        ([("x-cluster", "b"), ("x-cluster", "a")], "b"),
        ([("x-cluster", "")], None),
        ([], None),
    ],
)
def test_cluster_header(headers: list[tuple[str, str]], cluster: str | None) -> None:
    """The first value of the header names the cluster; no value names none."""
    assert picked(RouteAction(cluster_header="X-Cluster"), *headers) == cluster


@pytest.mark.parametrize(("draw", "cluster"), [(0, "a"), (59, "a"), (60, "b"), (99, "b"), (100, "a"), (2**64 - 1, "a")])
def test_weights(draw: int, cluster: str) -> None:
    """The draw modulo the sum of the weights falls into one of them, in their order."""
    assert picked(split(Weight(name="a", weight=60), Weight(name="b", weight=40)), draw=draw) == cluster


def test_weight_zero_gets_nothing() -> None:
    """A cluster of weight 0 is never picked; a split that is all zeros picks none."""
    assert {picked(split(Weight(name="a", weight=0), Weight(name="b", weight=3)), draw=n) for n in range(9)} == {"b"}
    assert picked(split(Weight(name="a", weight=0))) is None


def test_weights_are_shares() -> None:
    """Over many calls each cluster gets what its weight promises."""
    pick = compiled(route(route=split(Weight(name="a", weight=80), Weight(name="b", weight=20)))).pick_cluster
    random = Random(7)
    count = Counter(choice.cluster for _ in range(2000) if (choice := pick(call_to(), random)))
    assert 1500 < count["a"] < 1700


@pytest.mark.parametrize(
    ("lines", "cluster"),
    [
        (["0"], "a"),
        (["59"], "a"),
        (["60"], "b"),
        (["160"], "b"),
        ([" +060 "], "b"),
        (["-60"], "a"),
        (["x"], "a"),
        (["60", "60"], "a"),
        ([str(2**64 + 60)], "a"),
        ([], "a"),
    ],
)
def test_weights_by_header(lines: list[str], cluster: str) -> None:
    """The request's own number picks; where it brings no single unsigned one, a draw does (here: 0)."""
    action = split(Weight(name="a", weight=60), Weight(name="b", weight=40), header_name="X-Pick")
    assert picked(action, *(("x-pick", line) for line in lines)) == cluster


def test_runtime_overrides_weights() -> None:
    """`<runtime_key_prefix>.<cluster>` replaces a weight."""
    action = split(Weight(name="a", weight=1), Weight(name="b", weight=99), runtime_key_prefix="w")
    one = compiled(route(route=action), runtime={"w.a": "99", "w.b": 1})
    choice = one.pick_cluster(call_to(), Dice(98))
    assert choice is not None
    assert choice.cluster == "a"


def test_a_weight_may_name_its_cluster_by_header() -> None:
    """`cluster_header` of a weight is looked up once that weight was picked, and keeps the weight's settings."""
    weight = Weight(cluster_header="x-c", weight=1)
    choice = compiled(route(route=split(weight))).pick_cluster(call_to(headers=[("x-c", "z")]), Dice())
    assert choice is not None
    assert (choice.cluster, choice.weight) == ("z", weight)
    assert picked(split(weight)) is None


def test_a_split_behind_a_share_sees_the_same_draw() -> None:
    """A route taken by the lower half of all draws picks from the lower half of its weights, as in Envoy."""
    half = RuntimeFractionalPercent(default_value=FractionalPercent(numerator=50))
    random = Random(1)
    routes = table(
        virtual_host(
            route(
                match=RouteMatch(prefix="/", runtime_fraction=half),
                route=split(Weight(name="a", weight=50), Weight(name="b", weight=50)),
            ),
            direct(200),
        ),
        random=random,
    )
    taken: Counter[str] = Counter()
    for _ in range(200):
        call = call_to()
        found = routes.find(call)[1]
        assert found is not None
        choice = found.pick_cluster(call, random)
        taken[choice.cluster if choice is not None else "rest"] += 1
    assert set(taken) == {"a", "rest"}


def test_an_action_without_a_cluster_is_refused() -> None:
    """A route's action needs one of the three ways to a cluster."""
    with pytest.raises(ValueError, match="cluster_header"):
        compiled(route(route=RouteAction()))


@pytest.mark.parametrize(
    ("wins", "order"), [(False, ["w", "route", "vhost", "rc"]), (True, ["w", "rc", "vhost", "route"])]
)
def test_the_weights_mutations_come_first_in_either_order(wins: bool, order: list[str]) -> None:
    """`most_specific_header_mutations_wins` turns the other levels round; the weighted cluster's stay first."""
    fields: dict[str, Any] = {
        "request_headers_to_add": (add("x-l", "w"),),
        "response_headers_to_add": (add("x-l", "w"),),
    }

    def level(name: str) -> dict[str, Any]:
        return {"request_headers_to_add": (add("x-l", name),), "response_headers_to_add": (add("x-l", name),)}

    one = route(route=split(Weight(name="a", weight=1, **fields)), **level("route"))
    routes = table(virtual_host(one, **level("vhost")), most_specific_header_mutations_wins=wins, **level("rc"))
    found, call = routes.routes[0], call_to()
    call.route = found
    choice = found.pick_cluster(call, Dice())
    found.apply_request(call, choice)
    response: list[tuple[bytes, bytes]] = []
    found.apply_response(call, choice, 200, response)
    assert (values(call.headers, "x-l"), values(response, "x-l")) == (order, order)


def test_a_pick_is_compiled_once() -> None:
    """Picks of a plain cluster hand out one and the same choice."""
    pick = compile_pick(RouteAction(cluster="a"), {}, FakeClock())
    assert pick(call_to(), Dice()) is pick(call_to(), Dice())
