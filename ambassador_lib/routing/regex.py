"""RE2 as Envoy uses it: whole-value matches and global replacement, on bytes.

google-re2 is imported with the first expression that a policy holds: most have none, and there are platforms
without a wheel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..policy.model.core import RegexMatchAndSubstitute

_REFERENCE = re.compile(rb"\\(.)", re.DOTALL)


class Match(Protocol):
    """The part of a google-re2 match that is used."""

    def start(self) -> int:
        """Return where the match begins."""

    def end(self) -> int:
        """Return where it ends."""

    def group(self, group: int, /) -> bytes | None:
        """Return what a group matched, `None` if it took no part."""


class Pattern(Protocol):
    """The part of a compiled google-re2 expression that is used."""

    @property
    def groups(self) -> int:
        """How many groups it has."""

    def fullmatch(self, text: bytes) -> Match | None:
        """Match the whole text."""

    def finditer(self, text: bytes) -> Iterator[Match]:
        """Find match after match."""


def compile_regex(regex: str) -> Pattern:
    """Compile an RE2 expression; `ValueError` if it is none, or if google-re2 is not installed."""
    try:
        import re2  # most policies need no expression, and some platforms have no wheel
    except ImportError:
        raise ValueError("safe_regex needs the package google-re2, which is not installed") from None
    options = re2.Options()
    options.log_errors = False  # else RE2 writes its complaint to stderr, too
    try:
        pattern: Pattern = re2.compile(regex.encode(), options)
    except re2.error as error:
        message = error.args[0] if error.args else "invalid"
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
        raise ValueError(f"{regex!r} is not an RE2 expression: {text}") from None
    return pattern


def compile_substitution(rewrite: RegexMatchAndSubstitute) -> Callable[[str], str]:
    r"""Return a function that replaces all matches as `RE2::GlobalReplace` does.

    Source: `envoy.type.matcher.v3.RegexMatchAndSubstitute`. `\0` is the whole match, `\1`-`\9` are groups.
    """
    pattern = compile_regex(rewrite.pattern.regex)
    parts = _template(rewrite.substitution.encode(), pattern.groups)

    def replace(text: str) -> str:
        subject = text.encode("latin-1")
        pieces: list[bytes] = []
        end = -1
        copied = 0
        for match in pattern.finditer(subject):
            start = match.start()
            # RE2::GlobalReplace allows no empty match right behind the last one, which iteration does.
            if start == end == match.end():
                continue
            end = match.end()
            pieces.append(subject[copied:start])
            pieces.extend(part if isinstance(part, bytes) else match.group(part) or b"" for part in parts)
            copied = end
        pieces.append(subject[copied:])
        return b"".join(pieces).decode("latin-1")

    return replace


def _template(substitution: bytes, groups: int) -> list[bytes | int]:
    """Split a substitution into literal bytes and numbers of groups."""
    parts: list[bytes | int] = []
    position = 0
    for reference in _REFERENCE.finditer(substitution):
        parts.append(substitution[position : reference.start()])
        position = reference.end()
        sign = reference.group(1)
        if sign == b"\\":
            parts.append(sign)
        elif sign.isdigit() and int(sign) <= groups:
            parts.append(int(sign))
        else:
            raise ValueError(f"substitution {substitution.decode()!r}: \\{sign.decode()} names no group")
    tail = substitution[position:]
    if tail.endswith(b"\\"):
        raise ValueError(f"substitution {substitution.decode()!r} ends in a backslash")
    parts.append(tail)
    return [part for part in parts if part != b""]
