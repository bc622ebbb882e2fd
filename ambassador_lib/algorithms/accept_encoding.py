"""Whether a caller wants a body encoded: how Envoy's compressor reads `accept-encoding` (semantics 9.8)."""

from __future__ import annotations

IDENTITY = "identity"
WILDCARD = "*"


def wants(accepted: str, encoding: str, *, choose_first: bool = False) -> bool:
    """Tell whether `encoding`, the only one there is, is the best choice for who sent `accepted`.

    The highest `q` wins, the first of equal ones; with `choose_first`, `encoding` wins over equal ones. A wildcard
    means `encoding` unless it was excluded with `q=0`. Names are compared exactly; what has no number as its `q` does
    not count.
    """
    pairs: list[tuple[str, float]] = []
    for token in accepted.split(","):
        if not token:
            continue
        name, _, params = token.partition(";")
        quality = _quality(params)
        if quality is not None:
            pairs.append((name.strip(), quality))
    if any(name == encoding and not quality for name, quality in pairs):
        return False
    choice, best = IDENTITY, 0.0
    for name, quality in pairs:
        if name not in (encoding, IDENTITY, WILDCARD):
            continue
        if quality > best or (quality == best and choose_first and name == encoding):
            choice, best = name, quality
    return best != 0 and choice in (encoding, WILDCARD)


def _quality(params: str) -> float | None:
    """Return the first parameter's value if it is the `q`, 1 where there is none; `None` where it is no number."""
    name, found, value = params.partition("=")
    if not found or name.strip().lower() != "q":
        return 1.0
    try:
        return None if "_" in value else float(value)
    except ValueError:
        return None
