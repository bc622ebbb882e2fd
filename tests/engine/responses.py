"""Response byte streams by dice: what servers send, what they should not send, and what no server would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any

SHOWN = 600
"""Characters of a script that are printed."""


@dataclass(frozen=True)
class Script:
    """What a peer sends in answer to one request: pieces as they arrive, and then its end or silence."""

    method: str
    pieces: tuple[bytes, ...]
    ends: bool

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    def cut(self, *places: int) -> Script:
        """The same bytes, cut elsewhere."""
        bounds = [0, *sorted(places), len(self.data)]
        pieces = [self.data[start:end] for start, end in pairwise(bounds)]
        return replace(self, pieces=tuple(filter(None, pieces)))

    def __str__(self) -> str:
        then = "the end" if self.ends else "silence"
        pieces = " | ".join(map(repr, self.pieces))
        return f"{self.method} answered by {pieces[:SHOWN]}, then {then}"


METHODS = ["GET"] * 8 + ["HEAD", "POST"]
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0"] * 3 + [b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"ICY"]
STATUSES = [b"200"] * 8 + [b"204", b"304", b"404", b"500", b"503", b"205", b"299", b"600", b"20", b"2000", b"2x0", b""]
REASONS = [b" OK"] * 6 + [b"", b" ", b" Not Found", b" caf\xe9", b"\tOK", b" a\x01b"]
FIELDS = [
    b"server: x", b"X-A: 1", b"x-empty:", b"x-space:  a b  ", b"x-tab:\ta\t", b"set-cookie: a=1; b", b"date: now",
    b"x-utf8: \xc3\xa9", b"content-type: text/plain", b"x-~!#$%&'*+.^_`|: 1", b"x-long: " + b"v" * 3000,
]  # fmt: skip
ODD_FIELDS = [
    b"no colon", b": nameless", b"x sp: 1", b"x-before : 1", b" leading: 1", b"x-nul: a\x00b", b"x-ctl: a\x01b",
    b"x-del: a\x7fb", b"x-cr: a\rb", b"\xe9: 1", b"x(y): 1", b"x-fold: a\r\n b", b"x-fold: a\r\n\tb\r\n c",
    b"x-many: 1\r\n" * 120 + b"y: 1",
]  # fmt: skip
CONNECTIONS = [b"close", b"keep-alive", b"Close", b"KEEP-ALIVE", b"x, close", b"keep-alive, x", b"", b"upgrade"]
CODINGS = [
    *[b"chunked"] * 8, b"Chunked", b" chunked ", b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"",
    b"xchunked",
]  # fmt: skip
LENGTHS = [b"%d", b"0%d", b" %d ", b"+%d", b"-%d", b"%d, %d", b"0x%x", b"%d 1", b"", b"99999999999999999999", b"1e1"]
TRAILERS = [
    *[b""] * 6, b"x-t: 1\r\n", b"x-t: 1\r\nx-u: 2\r\n", b"content-length: 3\r\n", b"no colon\r\n",
    b"x: a\x00b\r\n", b" f: 1\r\n",
]  # fmt: skip
EXTENSIONS = [b""] * 8 + [b";a", b";a=b", b';a="b c"', b"; a = b", b";", b";a=b;c", b" ", b";\x01"]
SIZES = ["%x"] * 8 + ["%X", "0%x", "000%x", " %x", "%x ", "+%x", "-%x", "0x%x", "%xg"]
ENDINGS = [b"\r\n"] * 20 + [b"\n", b"\r", b"\r\r\n", b""]


def script(dice: Random) -> Script:
    """Roll one."""
    ending = dice.choice(ENDINGS) if dice.random() < 0.06 else b"\r\n"
    method = dice.choice(METHODS)
    data = b"\r\n" * dice.choice([0] * 20 + [1, 2])
    for _ in range(dice.choice([0] * 8 + [1, 1, 2, 3])):
        data += _interim(dice, ending)
    data += _final(dice, ending)
    if dice.random() < 0.08:
        data += dice.choice([b"x", b"\r\n", b"\n", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"])
    for _ in range(dice.choice([0] * 9 + [1, 1, 2, 3])):
        data = _mutated(dice, data)
    whole = Script(method, (data,), ends=dice.random() < 0.5)
    if dice.random() < 0.1:
        return whole.cut(*range(1, len(data)))
    return whole.cut(*(dice.randrange(len(data) + 1) for _ in range(dice.choice([0, 0, 1, 1, 2, 4]))))


def _interim(dice: Random, ending: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + dice.choice([b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 x"])]
    if dice.random() < 0.5:
        lines.append(b"link: </a>")
    if dice.random() < 0.05:
        lines.append(dice.choice([b"content-length: 0", b"content-length: 2", b"transfer-encoding: chunked"]))
    return ending.join([*lines, b"", b""])


def _final(dice: Random, ending: bytes) -> bytes:
    line = _usual(dice, VERSIONS, usual=14) + b" " + _usual(dice, STATUSES, usual=7) + _usual(dice, REASONS)
    fields = [dice.choice(FIELDS) for _ in range(dice.randrange(4))]
    if dice.random() < 0.1:
        fields.append(dice.choice(ODD_FIELDS))
    if dice.random() < 0.3:
        fields.append(dice.choice([b"connection: ", b"Connection:"]) + dice.choice(CONNECTIONS))
    framing, body = _body(dice)
    fields += framing
    dice.shuffle(fields)
    return ending.join([line, *fields, b"", b""]) + body


def _body(dice: Random) -> tuple[list[bytes], bytes]:
    content = bytes(dice.choices(b"abc\r\n0;: \x00\xff", k=dice.choice([0, 1, 2, 5, 17, 300])))
    framing: list[bytes] = []
    kind = dice.random()
    if kind < 0.4:
        stated = len(content) if dice.random() < 0.85 else max(0, len(content) + dice.choice([-1, 1, 5]))
        form = _usual(dice, LENGTHS)
        framing.append(b"Content-Length: " + (form % ((stated,) * form.count(b"%")) if b"%" in form else form))
    if 0.37 < kind < 0.85:
        framing.append(b"transfer-encoding: " + _usual(dice, CODINGS))
        content = _chunked(dice, content)
    if dice.random() < 0.03:
        framing.append(dice.choice(framing or [b"content-length: 1"]))
    return framing, content


def _chunked(dice: Random, content: bytes) -> bytes:
    data = b""
    while content:
        size = dice.randrange(1, len(content) + 1)
        stated = (_usual(dice, SIZES, usual=8) % size).encode()
        ending = dice.choice(ENDINGS) if dice.random() < 0.05 else b"\r\n"
        data += stated + _usual(dice, EXTENSIONS, usual=8) + b"\r\n" + content[:size] + ending
        content = content[size:]
    if dice.random() < 0.05:
        return data
    last = dice.choice([b"0"] * 8 + [b"00", b"0;a=b", b"0 "])
    return data + last + b"\r\n" + _usual(dice, TRAILERS, usual=6) + b"\r\n"


def _usual(dice: Random, values: Sequence[bytes] | Sequence[str], usual: int = 1) -> Any:
    """Mostly one of the first, the usual ones; a script in which all is odd shows nothing."""
    return dice.choice(values[:usual]) if dice.random() < 0.93 else dice.choice(values)


def _mutated(dice: Random, data: bytes) -> bytes:
    if not data:
        return data
    place = dice.randrange(len(data))
    until = min(len(data), place + dice.choice([1, 1, 1, 2, 5]))
    some = bytes([dice.choice([0, 9, 10, 13, 32, 48, 58, 59, 97, 127, 128, 255, dice.randrange(256)])])
    return dice.choice(
        [
            data[:place] + some + data[place:],
            data[:place] + some + data[place + 1 :],
            data[:place] + data[until:],
            data[:until] + data[place:until] + data[until:],
            data[:place],
        ]
    )
