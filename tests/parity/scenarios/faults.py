"""The filter fault: what its reply says, when there is none, and where its delay stands (semantics 9.2)."""

from __future__ import annotations

from ..bootstrap import boot, http_filter, retry, route
from ..look import body, details, flags, got, hits, status, took
from ..model import Scenario, get

ALWAYS = {"numerator": 100}
KIND = "fault.v3.HTTPFault"


SCENARIOS = [
    Scenario(
        "fault_reply",
        "an abort: its own words, FI, no try and no retry",
        rule="9.2 abort.http_status",
        policy=boot(
            [route(retry_policy=retry("5xx", 3))],
            filters=[http_filter("fault", KIND, abort={"http_status": 503, "percentage": ALWAYS})],
        ),
        calls=[get()],
        expect=[
            status(503),
            body("fault filter abort"),
            flags("FI"),
            details("fault_filter_abort"),
            got({"x-envoy-upstream-service-time": None, "content-type": "text/plain"}),
            hits(a=0),
        ],
    ),
    Scenario(
        "fault_percentage_unset",
        "without a percentage there is no fault",
        rule="9.2 percentage unset = 0 %",
        policy=boot(filters=[http_filter("fault", KIND, abort={"http_status": 503}, delay={"fixed_delay": "5s"})]),
        calls=[get(), get()],
        expect=[status(200, 200), flags("-", "-"), took(0, 3)],
    ),
    Scenario(
        "fault_nothing_to_do",
        "neither abort nor delay: nothing happens",
        rule="9.2 no abort/delay",
        policy=boot(filters=[http_filter("fault", KIND)]),
        calls=[get()],
        expect=[status(200), flags("-")],
    ),
    Scenario(
        "fault_delay_then_abort",
        "the delay comes before the abort, and both are told",
        rule="9.2 delay then abort",
        policy=boot(
            filters=[
                http_filter(
                    "fault",
                    KIND,
                    delay={"fixed_delay": "0.2s", "percentage": ALWAYS},
                    abort={"http_status": 418, "percentage": ALWAYS},
                )
            ]
        ),
        calls=[get()],
        expect=[status(418), flags("DI,FI"), took(0.19, 3), hits(a=0)],
    ),
    Scenario(
        "fault_delay_is_outside_the_timeout",
        "the route's timeout begins after the delay",
        rule="9 before the route timeout starts",
        policy=boot(
            [route(timeout="0.3s")],
            filters=[http_filter("fault", KIND, delay={"fixed_delay": "0.5s", "percentage": ALWAYS})],
        ),
        calls=[get()],
        expect=[status(200), flags("DI"), took(0.49, 4)],
    ),
    Scenario(
        "fault_percentage_by_header_only_lowers",
        "a header cannot ask for more faults than the policy allows",
        rule="9.2 request-percentage can only lower",
        policy=boot(filters=[http_filter("fault", KIND, abort={"header_abort": {}, "percentage": {"numerator": 0}})]),
        calls=[get("/", {"x-envoy-fault-abort-request": "503", "x-envoy-fault-abort-request-percentage": "100"})],
        expect=[status(200), hits(a=1), flags("-")],
    ),
    Scenario(
        "fault_max_active_one_after_the_other",
        "max_active_faults bounds those that are under way: aborted and delayed calls give their places back",
        rule="9.2 max_active_faults",
        policy=boot(
            filters=[
                http_filter(
                    "fault",
                    KIND,
                    delay={"fixed_delay": "0.05s", "percentage": ALWAYS},
                    abort={"http_status": 418, "percentage": ALWAYS},
                    max_active_faults=1,
                )
            ]
        ),
        calls=[get(), get(), get()],
        expect=[status(418, 418, 418), flags("DI,FI", "DI,FI", "DI,FI"), hits(a=0)],
    ),
]
