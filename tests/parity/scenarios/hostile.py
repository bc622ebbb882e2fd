"""Upstreams that break the rules of HTTP: what is an error, what is let pass, and that the next call is not harmed."""

from __future__ import annotations

from ..bootstrap import boot, cluster, http2, route
from ..look import bodies, connections, details, flags, status
from ..model import Scenario, get
from ..upstreams.replies import Reply, Upstream, raw

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"
SECOND = Reply(body="second")
FORGED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
PROTOCOL_ERROR = "upstream_reset_before_response_started{protocol_error}"


def head(*lines: bytes, status: bytes = b"200 OK", body: bytes = b"ok") -> bytes:
    """Return an answer of these lines; nothing is added to them."""
    return b"".join([b"HTTP/1.1 ", status, b"\r\n", *(line + b"\r\n" for line in lines), b"\r\n", body])


def chunked(body: bytes, *lines: bytes) -> bytes:
    return head(b"transfer-encoding: chunked", *lines, body=body)


def headers(count: int) -> bytes:
    return head(*[b"x-%d: a" % number for number in range(count - 1)], b"content-length: 2")


REFUSED = {
    "101_headers": headers(101),
    "endless_headers": headers(9000),
    "long_head": head(b"x: " + b"a" * 90_000, b"content-length: 2"),
    "very_long_head": head(b"x: " + b"a" * 2_000_000),
    "long_status_line": head(b"content-length: 2", status=b"200 " + b"x" * 90_000),
    "length_and_chunks": head(b"content-length: 2", b"transfer-encoding: chunked", body=CHUNKS),
    "same_length_twice": head(b"content-length: 2", b"content-length: 2"),
    "two_lengths": head(b"content-length: 2", b"content-length: 3"),
    "list_of_lengths": head(b"content-length: 2, 2"),
    "negative_length": head(b"content-length: -2"),
    "length_with_sign": head(b"content-length: +2"),
    "length_in_hex": head(b"content-length: 0x2"),
    "huge_length": head(b"content-length: 99999999999999999999999"),
    "empty_length": head(b"content-length: "),
    "length_in_two_words": head(b"content-length: 1 2"),
    "space_before_colon": head(b"content-length : 2"),
    "chunked_twice": head(b"transfer-encoding: chunked, chunked", body=CHUNKS),
    "chunked_on_two_lines": head(b"transfer-encoding: chunked", b"transfer-encoding: chunked", body=CHUNKS),
    "another_encoding": head(b"transfer-encoding: gzip, chunked", body=CHUNKS),
    "identity_and_length": head(b"transfer-encoding: identity", b"content-length: 2"),
    "nul_in_value": head(b"x: a\0b", b"content-length: 2"),
    "nul_in_name": head(b"x\0: a", b"content-length: 2"),
    "no_colon": head(b"nonsense", b"content-length: 2"),
    "empty_name": head(b": a", b"content-length: 2"),
    "space_in_name": head(b"a b: a", b"content-length: 2"),
    "pseudo_header": head(b":status: 500", b"content-length: 2"),
    "status_of_two_digits": head(b"content-length: 2", status=b"20 OK"),
    "status_of_letters": head(b"content-length: 2", status=b"abc OK"),
    "status_000": head(b"content-length: 2", status=b"000 OK"),
    "length_with_204": head(b"content-length: 2", status=b"204 No Content"),
    "chunks_with_204": head(b"transfer-encoding: chunked", status=b"204 No Content", body=CHUNKS),
    "http09": b"hello\r\n",
    "other_name": OK.replace(b"HTTP/", b"HTTPS/"),
    "lower_case_name": OK.replace(b"HTTP/", b"http/"),
    "leading_empty_line": b"\r\n" + OK,
    "leading_space": b" " + OK,
    "tls_alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "http2": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x10\0\0\0\x06\0\x01\0\0",
}

BROKEN_OFF = {
    "short_body": head(b"content-length: 10"),
    "negative_chunk": chunked(b"-1\r\nok\r\n0\r\n\r\n"),
    "chunk_that_is_no_number": chunked(b"zz\r\nok\r\n0\r\n\r\n"),
    "chunk_with_prefix": chunked(b"0x2\r\nok\r\n0\r\n\r\n"),
    "chunk_without_end": chunked(b"2\r\nokXX0\r\n\r\n"),
}

LET_PASS = {
    "100_headers": headers(100),
    "70_kilobytes_of_head": head(b"x: " + b"a" * 70_000, b"content-length: 2"),
    "chunked_in_capitals": head(b"transfer-encoding: CHUNKED", body=CHUNKS),
    "folded_header": head(b"x: a", b" b", b"content-length: 2"),
    "high_bytes": head(b"x: \xff\xfe", b"content-length: 2"),
    "chunk_extension": chunked(b"2;a=b\r\nok\r\n0\r\n\r\n"),
    "trailers": chunked(b"2\r\nok\r\n0\r\nx: a\r\n\r\n"),
    "no_reason": head(b"content-length: 2", status=b"200"),
    "many_100s": b"HTTP/1.1 100 Continue\r\n\r\n" * 500 + OK,
    "early_hints": b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK,
    "http10_keep_alive": OK.replace(b"/1.1", b"/1.0").replace(b"OK\r\n", b"OK\r\nconnection: keep-alive\r\n"),
}

GIVEN_UP = {
    "http10": OK.replace(b"/1.1", b"/1.0"),
    "http12": OK.replace(b"/1.1", b"/1.2"),
    "second_answer": OK + FORGED,
    "bytes_behind": OK + b"garbage",
    "bytes_behind_chunks": chunked(CHUNKS + FORGED),
}

SCENARIOS = [
    *(
        Scenario(
            f"hostile_{name}",
            f"{name.replace('_', ' ')}: 502 protocol error, and the connection is used no more",
            rule="1.3 framing errors",
            upstreams={"a": [raw(answer, "hang"), SECOND]},
            policy=boot([route(timeout="5s")]),
            calls=[get(), get()],
            expect=[status(502, 200), flags("UPE", "-"), details(PROTOCOL_ERROR, "via_upstream"), connections(a=2)],
        )
        for name, answer in REFUSED.items()
    ),
    *(
        Scenario(
            f"hostile_{name}",
            f"{name.replace('_', ' ')}: the body breaks off, and the connection is used no more",
            rule="1.3 framing errors",
            upstreams={"a": [raw(answer, "close"), SECOND]},
            policy=boot([route(timeout="5s")]),
            calls=[get(), get()],
            expect=[status("transport-error", 200), connections(a=2)],
        )
        for name, answer in BROKEN_OFF.items()
    ),
    *(
        Scenario(
            f"hostile_{name}",
            f"{name.replace('_', ' ')}: let pass, and the connection goes on",
            rule="1.3",
            upstreams={"a": [raw(answer, "keep"), SECOND]},
            policy=boot([route(timeout="5s")]),
            calls=[get(), get()],
            expect=[status(200, 200), bodies("ok", "second"), connections(a=1)],
        )
        for name, answer in LET_PASS.items()
    ),
    *(
        Scenario(
            f"hostile_{name}",
            f"{name.replace('_', ' ')}: the answer counts, the connection is used no more",
            rule="1.3",
            upstreams={"a": [raw(answer, "keep"), SECOND]},
            policy=boot([route(timeout="5s")]),
            calls=[get(), get()],
            expect=[status(200, 200), bodies("ok", "second"), connections(a=2)],
        )
        for name, answer in GIVEN_UP.items()
    ),
    Scenario(
        "hostile_http1_to_http2",
        "an answer in HTTP/1 to a request in HTTP/2 is a protocol error",
        rule="1.3",
        upstreams={"a": Upstream([raw(OK, "close"), SECOND], kind="http2")},
        policy=boot([route(timeout="5s")], [cluster("a", **http2())]),
        calls=[get(), get()],
        expect=[status(502, 200), flags("UPE", "-"), connections(a=2)],
    ),
]
