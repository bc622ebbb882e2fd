"""Filters that refuse by themselves what they think too much: admission_control, adaptive_concurrency (semantics 9)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, http2, http_filter, runtime
from ..expect import Between
from ..look import bodies, details, flags, got, hits, status, tally
from ..model import Look, Scenario, get, pause, post, times, together
from ..upstreams.replies import Reply, Upstream

ON = {"default_value": True, "runtime_key": "switch"}
SURE: Document = {"sr_threshold": {"default_value": {"value": 100}, "runtime_key": "sr"}}
"""Whatever fails counts fully."""


def admission(**fields: Any) -> Document:
    given = {"enabled": ON, "success_criteria": {}, "sampling_window": "60s", **fields}
    return http_filter("admission_control", "admission_control.v3.AdmissionControl", **given)


def at_most(percent: float) -> Document:
    return {"max_rejection_probability": {"default_value": {"value": percent}, "runtime_key": "most"}}


def adaptive(limit: Document, measured: Document, **fields: Any) -> Document:
    config = {"concurrency_limit_params": limit, "min_rtt_calc_params": measured}
    return http_filter(
        "adaptive_concurrency", "adaptive_concurrency.v3.AdaptiveConcurrency", gradient_controller_config=config,
        enabled=ON, **fields,
    )  # fmt: skip


SOON = {"concurrency_update_interval": "0.2s"}

SCENARIOS = [
    Scenario(
        "admission_control_cap",
        "when all fails, requests are refused up to max_rejection_probability, 80 %",
        rule="9.6",
        upstreams={"a": 500},
        policy=boot(filters=[admission()]),
        calls=[times(400, get())],
        # 20 % of 400 with a deviation of 8, and the first few, which pass more often.
        expect=[hits(a=Between(48, 125)), tally({500: Between(48, 125), 503: Between(275, 352)})],
    ),
    Scenario(
        "admission_control_reply",
        "a refusal is an empty 503 without a flag",
        rule="9.6",
        upstreams={"a": 500},
        policy=boot(filters=[admission(**at_most(100), aggression={"default_value": 9, "runtime_key": "x"})]),
        calls=[times(100, get()), get(), get(), get()],
        expect=[hits(a=Between(1, 16)), tally({500: Between(1, 16), 503: Between(87, 102)})],
    ),
    Scenario(
        "admission_control_refuses_without_a_word",
        "of a refusal there is the status and nothing else",
        rule="9.6, 12.1",
        upstreams={"a": 500},
        policy=boot(filters=[admission(**at_most(100), **SURE)]),
        calls=[times(25, get())],
        expect=[
            Look(
                "details",
                lambda run: sorted({(one.text, one.flags, one.details) for one in run.outcomes if one.status == 503}),
                [("", "-", "denied_by_admission_control")],
            )
        ],
    ),
    Scenario(
        "admission_control_does_not_feed_itself",
        "refusals are no samples: with every second answer a failure it stays at half",
        rule="9.6 rejected requests are not samples",
        upstreams={"a": lambda request: 500 if request.number % 2 else 200},
        policy=boot(filters=[admission(**at_most(100), **SURE)]),
        calls=[times(200, get())],
        expect=[hits(a=Between(65, 140))],
    ),
    Scenario(
        "admission_control_lets_successes_pass",
        "while enough succeed, nothing is refused",
        rule="9.6",
        upstreams={"a": [*[200] * 30, 500, *[200] * 30]},
        policy=boot(filters=[admission()]),
        calls=[times(61, get())],
        expect=[hits(a=61), tally({200: 60, 500: 1})],
    ),
    Scenario(
        "admission_control_http_criteria",
        "what counts as a success is the policy's to say",
        rule="9.6",
        upstreams={"a": {"/404": 404, "*": 500}},
        policy=boot(
            filters=[
                admission(
                    **at_most(100),
                    success_criteria={
                        "http_criteria": {
                            "http_success_status": [{"start": 200, "end": 300}, {"start": 500, "end": 501}]
                        }
                    },
                )
            ]
        ),
        calls=[times(20, get("/500")), times(200, get("/404"))],
        expect=[tally({500: 20, 404: Between(1, 90), 503: Between(110, 199)})],
    ),
    Scenario(
        "admission_control_404_is_a_success",
        "by default everything below 500 is a success",
        rule="9.6",
        upstreams={"a": 404},
        policy=boot(filters=[admission()]),
        calls=[times(60, get())],
        expect=[hits(a=60), tally({404: 60})],
    ),
    Scenario(
        "admission_control_counts_local_replies",
        "the router's own replies count as well",
        rule="9.6",
        policy=boot(
            [{"match": {"prefix": "/"}, "direct_response": {"status": 500}}], filters=[admission(**at_most(100))]
        ),
        calls=[times(100, get())],
        expect=[tally({500: Between(1, 30), 503: Between(70, 99)})],
    ),
    Scenario(
        "admission_control_rps_threshold",
        "below rps_threshold nothing is refused",
        rule="9.6",
        upstreams={"a": 500},
        policy=boot(filters=[admission(rps_threshold={"default_value": 100000, "runtime_key": "rps"})]),
        calls=[times(60, get())],
        expect=[hits(a=60), tally({500: 60})],
    ),
    Scenario(
        "admission_control_forgets",
        "what is older than the window is forgotten",
        rule="9.6 sampling_window",
        upstreams={"a": {"/good": 200, "*": 500}},
        policy=boot(filters=[admission(sampling_window="1s", **at_most(100))]),
        calls=[times(60, get()), pause(1.3), get("/good")],
        expect=[tally({200: 1, 500: Between(1, 25), 503: Between(35, 59)})],
    ),
    Scenario(
        "admission_control_off",
        "enabled: false, here by the runtime, switches it off",
        rule="9.6 enabled",
        upstreams={"a": 500},
        policy=boot(filters=[admission()], **runtime(switch=False)),
        calls=[times(40, get())],
        expect=[hits(a=40), tally({500: 40})],
    ),
    Scenario(
        "adaptive_concurrency_measures_first",
        "it begins with min_concurrency requests at once; more are 503 without a flag",
        rule="9.5",
        upstreams={"a": Reply(delay=0.2)},
        policy=boot(filters=[adaptive(SOON, {"interval": "60s"})]),
        calls=[together(get(), count=5)],
        expect=[hits(a=3), tally({200: 3, 503: 2})],
    ),
    Scenario(
        "adaptive_concurrency_reply",
        "body and status of a refusal; a status below 400 is 503",
        rule="9.5",
        upstreams={"a": {"/slow": Reply(delay=0.4), "*": 200}},
        policy=boot(
            filters=[
                adaptive(
                    SOON,
                    {"interval": "60s", "min_concurrency": 1},
                    concurrency_limit_exceeded_status={"code": "TooManyRequests"},
                )
            ]
        ),
        calls=[together(get("/slow"), get("/refused"), stagger=0.15), get()],
        expect=[
            status(200, 429, 200),
            hits(a=2),
            bodies("a", "reached concurrency limit", "a"),
            got({"content-type": "text/plain", "x-envoy-overloaded": None}, call=1),
        ],
    ),
    Scenario(
        "adaptive_concurrency_reply_to_grpc",
        "details without a flag; a gRPC caller gets UNAVAILABLE",
        rule="9.5",
        upstreams={"a": {"/slow": Reply(delay=0.4), "*": 200}},
        policy=boot(filters=[adaptive(SOON, {"interval": "60s", "min_concurrency": 1})]),
        calls=[together(get("/slow"), post("/", b"x", {"content-type": "application/grpc"}), stagger=0.15)],
        expect=[status(200, 200), got({"grpc-status": "14", "grpc-message": "reached concurrency limit"})],
    ),
    Scenario(
        "adaptive_concurrency_place_until_the_body_ends",
        "a place is held until the response is complete",
        rule="9.5",
        upstreams={"a": Reply(body=[b"x"] * 5, pause=0.1)},
        policy=boot(filters=[adaptive(SOON, {"interval": "60s", "min_concurrency": 1})]),
        calls=[together(get(), get(), stagger=0.25), get()],
        expect=[status(200, 503, 200), hits(a=2)],
    ),
    Scenario(
        "adaptive_concurrency_fixed_value",
        "with fixed_value nothing is measured: the limit rises from the first update on",
        rule="9.5 fixed_value",
        upstreams={"a": {"/held": Reply(delay=0.7), "*": 200}},
        policy=boot(
            filters=[adaptive({"concurrency_update_interval": "0.15s"}, {"fixed_value": "2s", "min_concurrency": 1})]
        ),
        calls=[get(), pause(0.3), together(get("/held"), count=4)],
        expect=[tally({200: 4, 503: 1})],
    ),
    Scenario(
        "adaptive_concurrency_grows_and_shrinks",
        "after the measurement the limit grows by the square root, and halves when latency does not fit any more",
        rule="9.5",
        upstreams={"a": Reply(delay=0.25)},
        policy=boot(filters=[adaptive(SOON, {"interval": "60s", "request_count": 3, "jitter": {"value": 0}})]),
        # 3, measured; then 3*1.25 + 1.9 = 5
        calls=[
            together(get(), count=3),
            pause(0.05),
            together(get(), count=3),
            pause(0.4),
            together(get(), count=7),
        ],
        expect=[tally({200: Between(10, 12), 503: Between(1, 3)})],
    ),
    Scenario(
        "adaptive_concurrency_off",
        "enabled: false switches it off",
        rule="9.5",
        upstreams={"a": Reply(delay=0.1)},
        policy=boot(filters=[adaptive(SOON, {"interval": "60s"})], **runtime(switch=False)),
        calls=[together(get(), count=6)],
        expect=[tally({200: 6})],
    ),
    Scenario(
        "filters_details_of_refusals",
        "what the log says of refusals by adaptive_concurrency: details without a flag",
        rule="11.4",
        policy=boot(
            filters=[adaptive(SOON, {"interval": "60s"})],
            **runtime(adaptive_concurrency__gradient_controller__min_concurrency=0),
        ),
        calls=[get()],
        expect=[status(503), hits(a=0), flags("-"), details("reached_concurrency_limit")],
    ),
    Scenario(
        "adaptive_concurrency_reply_below_400",
        "a status below 400 is no refusal: 503",
        rule="9.5 concurrency_limit_exceeded_status",
        policy=boot(
            filters=[adaptive(SOON, {"interval": "60s"}, concurrency_limit_exceeded_status={"code": "Accepted"})],
            **runtime(adaptive_concurrency__gradient_controller__min_concurrency=0),
        ),
        calls=[get()],
        expect=[status(503), bodies("reached concurrency limit")],
    ),
    Scenario(
        "adaptive_concurrency_grows_by_a_root",
        "twice the limit at most, and its square root: 1, 3, 8",
        rule="9.5 gradient*limit + sqrt(gradient*limit)",
        upstreams={"a": {"/held": Reply(delay=0.7), "*": 200}},
        policy=boot(
            filters=[adaptive({"concurrency_update_interval": "0.15s"}, {"fixed_value": "2s", "min_concurrency": 1})]
        ),
        # One answer is one sample, and one sample is one update.
        calls=[get(), pause(0.3), get(), pause(0.3), together(get("/held"), count=10)],
        expect=[tally({200: 10, 503: 2})],
    ),
    Scenario(
        "adaptive_concurrency_halves",
        "half of the limit at least, however slow the answers: 1, 3, 8, then 4 and its root",
        rule="9.5 gradient 0.5 to 2",
        upstreams={"a": {"/held": Reply(delay=0.7), "/slow": Reply(delay=1.2), "*": 200}},
        policy=boot(
            filters=[adaptive({"concurrency_update_interval": "0.15s"}, {"fixed_value": "0.4s", "min_concurrency": 1})]
        ),
        calls=[
            get(),
            pause(0.3),
            get(),
            pause(0.3),
            get("/slow"),
            pause(0.3),
            together(get("/held"), count=9),
        ],
        expect=[tally({200: 9, 503: 3})],
    ),
    *(
        Scenario(
            f"adaptive_concurrency_runtime_{key}",
            "a runtime value takes the place of a setting",
            rule="9.5 runtime",
            upstreams={"a": Reply(delay=0.2)},
            policy=boot(
                filters=[adaptive(SOON, {"interval": "60s", "min_concurrency": 2})],
                **runtime(**{f"adaptive_concurrency__gradient_controller__{key}": 1}),
            ),
            calls=[together(get(), count=4)],
            expect=[tally({200: passed, 503: 4 - passed})],
        )
        for key, passed in (("min_concurrency", 1), ("min_concurrency_limit", 2))
    ),
    Scenario(
        "adaptive_concurrency_runtime_requests",
        "how many requests are measured, and how much latency is allowed, may be runtime values",
        rule="9.5 runtime",
        upstreams={"a": Reply(delay=0.1)},
        policy=boot(
            filters=[adaptive({"concurrency_update_interval": "60s"}, {"interval": "60s"})],
            **runtime(
                adaptive_concurrency__gradient_controller__min_rtt_aggregate_request_count=3,
                adaptive_concurrency__gradient_controller__sample_rtt_calc_interval_ms=200,
                adaptive_concurrency__gradient_controller__max_concurrency_limit=4,
            ),
        ),
        # 3, measured; then 4 instead of 5
        calls=[together(get(), count=3), pause(0.05), together(get(), count=3), pause(0.3), together(get(), count=7)],
        expect=[tally({200: 10, 503: 3})],
    ),
    *(
        Scenario(
            f"admission_control_grpc_trailers_{name}",
            "the status of a gRPC answer may be in its trailers; an answer without one counts as nothing",
            rule="9.6 grpc",
            upstreams={
                "a": Upstream(
                    Reply(headers={"content-type": "application/grpc"}, body=b"x", trailers=trailers), kind="http2"
                )
            },
            policy=boot(
                clusters=[cluster(**http2())],
                filters=[admission(**at_most(100), **SURE)],
            ),
            calls=[times(60, post("/", b"x", {"content-type": "application/grpc", "te": "trailers"}))],
            expect=[hits(a=seen)],
        )
        for name, trailers, seen in (
            ("failure", {"grpc-status": "14"}, Between(1, 40)),
            ("success", {"grpc-status": "5"}, 60),
            ("nonsense", {"x": "y"}, Between(1, 40)),
            ("missing", {}, 60),
        )
    ),
]
