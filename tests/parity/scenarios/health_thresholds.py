"""Health checks at their thresholds (semantics 6.1, 6.2): how many, how long, how much, and not one more."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, health_check
from ..look import hits, see, spread
from ..model import Run, Scenario, Until, get, health, pause, times, wait_for
from ..upstreams.replies import Reply, Upstream, close, hang
from .health_edges import checked

_EVEN = {"a": 20, "b": 20}


def _two(b: Any, **check: Any) -> dict[str, Any]:
    """The fields of a scenario: host `a` is well, host `b` answers its checks like this."""
    return {"upstreams": {"a": Upstream(health=200), "b": Upstream(health=b)}, "policy": checked("a", "b", **check)}


def _checks_of_b(run: Run) -> int:
    """How many checks `b` has had."""
    return len(run.at("b").checks)


def _checks_before(request: int) -> Any:
    """How many checks of `b` had come before one of its requests."""

    def seen(run: Run) -> int:
        at = run.at("b").requests[request].arrived
        return sum(check.arrived < at for check in run.at("b").checks)

    return seen


SCENARIOS = [
    Scenario(
        "hc_failures_with_a_pass_between",
        "failures count in a row: with a pass in between a host stays in for good",
        rule="6.1 unhealthy_threshold",
        **_two(lambda request: 200 if request.number % 3 == 1 else close(), unhealthy_threshold=3, interval="0.05s"),
        calls=[times(40, get(), pause=0.02)],
        expect=[spread(_EVEN)],
    ),
    Scenario(
        "hc_unhealthy_at_the_threshold",
        "with the third failure in a row the host is out, and not before",
        rule="6.1 unhealthy_threshold",
        **_two([200, close()], unhealthy_threshold=3, interval="0.4s", no_traffic_interval="0.4s"),
        calls=[
            wait_for(lambda run: _checks_of_b(run) >= 3),
            times(2, get()),
            wait_for(lambda run: _checks_of_b(run) >= 4),
            pause(0.1),
            times(4, get()),
        ],
        expect=[spread({"a": 1, "b": 1}, last=2), spread({"a": 4}, first=2)],
    ),
    Scenario(
        "hc_passes_with_a_failure_between",
        "passes count in a row, too",
        rule="6.1 healthy_threshold",
        **_two(lambda request: 503 if request.number % 2 else 200, healthy_threshold=2, interval="0.05s"),
        calls=[times(20, get(), pause=0.02)],
        expect=[spread({"a": 20})],
    ),
    Scenario(
        "hc_healthy_at_the_threshold",
        "after a failed first check it takes so many passes, and not one more",
        rule="6.2 fail, fail, ok, ok",
        **_two([503, 200], healthy_threshold=3, interval="0.3s", no_traffic_interval="0.3s"),
        calls=[Until(get(), lambda outcome: outcome.text == "b", every=0.01)],
        expect=[see("checks before", _checks_before(0), 4)],
    ),
    Scenario(
        "hc_silence_after_a_pass",
        "a check that is not answered within its timeout has failed",
        rule="6.1 timeout",
        **_two([200, hang()], timeout="0.1s"),
        calls=[times(2, get()), pause(0.6), times(4, get())],
        expect=[spread({"a": 4}, first=2)],
    ),
    Scenario(
        "hc_204_is_not_expected",
        "by default nothing but 200 will do",
        rule="6.1 expected_statuses default 200 only",
        **_two(Reply(204, body=b"")),
        calls=[times(4, get())],
        expect=[spread({"a": 4})],
    ),
    Scenario(
        "hc_response_buffer_size_default",
        "what is looked for must be within the first 1024 bytes",
        rule="6.1 response_buffer_size 1024",
        upstreams={
            "a": Upstream(health=Reply(body="." * 1020 + "fine")),
            "b": Upstream(health=Reply(body="." * 1021 + "fine")),
        },
        policy=checked("a", "b", http={"receive": [{"text": b"fine".hex()}]}),
        calls=[times(4, get())],
        expect=[spread({"a": 4})],
    ),
    Scenario(
        "hc_unhealthy_edge_interval_default",
        "unless set otherwise, a host on its way to unhealthy is checked at unhealthy_interval",
        rule="6.1 unhealthy_edge_interval = unhealthy_interval",
        **_two(200, unhealthy_threshold=2, unhealthy_interval="30s"),
        calls=[
            times(2, get()),
            health("b", close()),
            wait_for(lambda run: run.notes.setdefault("b", _checks_of_b(run)) < _checks_of_b(run)),
            pause(0.5),
            times(4, get()),
        ],
        expect=[spread({"a": 2, "b": 2}, first=2)],
    ),
    Scenario(
        "hc_immediate_fail_leaves_the_denominator",
        "who says so himself is in no share: one of two others is no panic",
        rule="6.2 x-envoy-immediate-health-check-fail: unhealthy and excluded",
        upstreams={
            "a": Upstream(Reply(200, {"x-envoy-immediate-health-check-fail": "true"}), health=200),
            "b": Upstream(health=503),
            "c": Upstream(health=200),
        },
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b", "c"],
                    health_checks=[health_check(interval="30s", no_traffic_interval="30s")],
                    common_lb_config={"update_merge_window": "0s"},
                )
            ]
        ),
        calls=[Until(get(), lambda outcome: outcome.text == "a", every=0.01), pause(0.1), times(6, get())],
        expect=[spread({"c": 6}, first=1), hits(b=0)],
    ),
]
