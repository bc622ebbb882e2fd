"""`access_log`: one line for each call that has ended (semantics 11.3), in the formats that Envoy 1.40 writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorError

from .documents import TYPE, bootstrap
from .harness import Body, Hang, Spec

Document = dict[str, Any]


def file_log(path: Path, form: Document | None = None, **fields: Any) -> Document:
    config = {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(path), **fields}
    if form is not None:
        config["log_format"] = form
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def line(text: str) -> Document:
    return {"text_format_source": {"inline_string": text + "\n"}}


WORDS = "%REQ(:METHOD)% %PATH% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%"


def logged(spec: Spec, path: Path) -> list[str]:
    """Close the client, which writes what waits, and read the log."""
    spec.close_transport()
    return path.read_text().splitlines() if path.exists() else []


def test_each_call_is_one_line(spec: Spec, tmp_path: Path) -> None:
    """Written when the body has ended, in the order of the ends."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log, line(WORDS))]}), 200, local_replies="response")
    spec.get("/a?b")
    spec.post("/c", content=b"12345")
    assert logged(spec, log) == [
        "GET /a?b 200 via_upstream - 0 1",
        "POST /c 200 via_upstream - 5 1",
    ]


def test_no_header_begins_a_line_of_its_own(spec: Spec, tmp_path: Path) -> None:
    """A transport that carries anything lets line ends through; in the log they are spaces, in JSON escaped."""
    log, objects = tmp_path / "log", tmp_path / "objects"
    text = file_log(log, line("%REQ(x-a)% %RESP(x-b)%"))
    manager = {"access_log": [text, file_log(objects, {"json_format": {"a": "%REQ(x-a)%"}})]}
    spec.given(bootstrap(manager=manager), httpx.Response(200, headers={"x-b": "3\n4"}), local_replies="response")
    spec.get("/", headers={"x-a": "1\r\n200 forged"})
    assert logged(spec, log) == ["1  200 forged 3 4"]
    assert json.loads(objects.read_text()) == {"a": "1\r\n200 forged"}


def test_the_default_format_is_envoys(spec: Spec, tmp_path: Path) -> None:
    """A log without a format writes the line that every operator knows."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log)]}), Hang(0.03125), local_replies="response")
    spec.get("/a", headers={"x-request-id": "the-id", "user-agent": "me"})
    (entry,) = logged(spec, log)
    assert entry.startswith("[20")
    assert entry.partition("] ")[2] == (
        '"GET /a HTTP/1.1" 200 - 0 1 31 31 "-" "me" "the-id" "127.0.0.1:15001" "10.0.0.1:80"'
    )


def test_the_path_is_the_one_before_a_rewrite(spec: Spec, tmp_path: Path) -> None:
    """Source: `X-ENVOY-ORIGINAL-PATH?:PATH` of the default format."""
    log = tmp_path / "log"
    form = line("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:PATH)% %UPSTREAM_CLUSTER% %ROUTE_NAME%")
    manager = {"access_log": [file_log(log, form)]}
    spec.given(bootstrap(manager=manager, route={"prefix_rewrite": "/new/"}), 200).get("/a")
    assert logged(spec, log) == ["/a /new/a c -"]


@pytest.mark.parametrize("local_replies", ["raise", "response"])
def test_a_failure_is_logged_as_the_reply_that_it_would_be(spec: Spec, tmp_path: Path, local_replies: str) -> None:
    """Also where the application is given an exception."""
    log = tmp_path / "log"
    manager = {"access_log": [file_log(log, line(f"{WORDS} %UPSTREAM_REQUEST_ATTEMPT_COUNT%"))]}
    spec.given(bootstrap(manager=manager), httpx.ConnectError("no"), local_replies=local_replies)
    try:
        spec.get("/a")
    except AmbassadorError:
        assert local_replies == "raise"
    details = "upstream_reset_before_response_started{remote_connection_failure|no}"
    assert logged(spec, log) == [f"GET /a 503 {details} UF 0 98 1"]


def test_a_call_that_its_caller_gave_up_has_no_code(spec: Spec, tmp_path: Path) -> None:
    """The application's own timeout is DC and 0, as for a sidecar whose client hung up."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log, line(WORDS))]}), Hang(2.0))
    with pytest.raises(httpx.ReadTimeout):
        spec.get("/a", timeout=1.0)
    assert logged(spec, log) == ["GET /a 0 downstream_remote_disconnect DC 0 0"]


def test_a_body_that_broke_off_keeps_its_code(spec: Spec, tmp_path: Path) -> None:
    """What came of it is counted, the flag tells how it ended."""
    log = tmp_path / "log"
    broken = httpx.Response(200, stream=Body(b"abc", error=httpx.RemoteProtocolError("gone")))
    spec.given(bootstrap(manager={"access_log": [file_log(log, line(WORDS))]}), broken)
    with pytest.raises(httpx.HTTPError):
        spec.get("/a")
    (entry,) = logged(spec, log)
    assert entry.startswith("GET /a 200 upstream_reset_after_response_started{")
    assert entry.endswith(" 0 3")


def test_an_early_close_is_an_end(spec: Spec, tmp_path: Path) -> None:
    """A response that nobody reads is logged when it is closed, and not before."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log, line(WORDS))]}), 200)
    response = spec.request("GET", "/a", stream=True)
    spec.close(response)
    assert logged(spec, log) == ["GET /a 200 via_upstream - 0 0"]


def test_filters_choose_what_is_logged(spec: Spec, tmp_path: Path) -> None:
    """Each log has its own filter; both may go to one file."""
    log = tmp_path / "log"
    comparison = {"op": "GE", "value": {"default_value": 500, "runtime_key": "k"}}
    bad = {**file_log(log, line("bad %PATH%")), "filter": {"status_code_filter": {"comparison": comparison}}}
    manager = {"access_log": [bad, file_log(log, line("all %PATH%"))]}
    spec.given(bootstrap(manager=manager), 200, 503)
    spec.get("/1")
    spec.get("/2")
    assert logged(spec, log) == ["all /1", "bad /2", "all /2"]


def test_json_keeps_types(spec: Spec, tmp_path: Path) -> None:
    """A value that is one operator is a number where the operator's is; unset is null."""
    log = tmp_path / "log"
    fields = {"code": "%RESPONSE_CODE%", "none": "%REQ(no)%", "b": {"sent": "%BYTES_SENT%"}, "id": "%CONNECTION_ID%"}
    spec.given(bootstrap(manager={"access_log": [file_log(log, {"json_format": fields})]}), 200).get("/a")
    (entry,) = logged(spec, log)
    assert entry == '{"b":{"sent":1},"code":200,"id":null,"none":null}'
    assert json.loads(entry)["code"] == 200


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "old %REQ(no)%\n"}, "old -"),
        ({"json_format": {"a": "%RESPONSE_CODE%"}}, '{"a":200}'),
        ({"typed_json_format": {"a": "%RESPONSE_CODE%"}}, '{"a":200}'),
    ],
)
def test_the_older_fields_work(spec: Spec, tmp_path: Path, fields: Document, expected: str) -> None:
    """Source: `FileAccessLog.format`, `json_format`, `typed_json_format`."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log, **fields)]}), 200).get("/a")
    assert logged(spec, log) == [expected]


def test_a_log_that_cannot_be_written_costs_no_call(spec: Spec, tmp_path: Path) -> None:
    """A path that has become a directory loses its lines."""
    log = tmp_path / "log"
    spec.given(bootstrap(manager={"access_log": [file_log(log, line(WORDS))]}), 200)
    log.mkdir()
    assert spec.get("/a").status_code == 200
    spec.close_transport()
    assert list(log.iterdir()) == []


def test_standard_streams(spec: Spec, capfd: pytest.CaptureFixture[str]) -> None:
    """Source: `StdoutAccessLog` and `StderrAccessLog`."""
    logs = [
        {
            "name": name,
            "typed_config": {"@type": f"{TYPE}.access_loggers.stream.v3.{kind}", "log_format": line(f"{name} %PATH%")},
        }
        for name, kind in (("out", "StdoutAccessLog"), ("err", "StderrAccessLog"))
    ]
    spec.given(bootstrap(manager={"access_log": logs}), 200).get("/a")
    spec.close_transport()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("out /a\n", "err /a\n")


def test_loggers_elsewhere_are_warned_of(spec: Spec) -> None:
    """What goes to a collector is not written, and the policy says so."""
    config = {
        "@type": f"{TYPE}.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        "common_config": {
            "log_name": "x", "transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": "c"}},
        },
    }  # fmt: skip
    spec.given(bootstrap(manager={"access_log": [{"name": "otel", "typed_config": config}]}), 200)
    assert any("OpenTelemetryAccessLogConfig" in str(warning) for warning in spec.transport.policy.warnings)
    assert spec.get("/a").status_code == 200
