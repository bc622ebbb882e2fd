"""A process that is measured: `python -m benchmarks.scale.worker`, driven by lines of JSON on its standard input.

The first line says who it is, and is answered with what setting that up took; each other one asks for a turn, and is
answered with the turn's figures. It ends with its standard input.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .. import compiled
from ..world.proc import resident
from . import loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def null(orders: dict[str, Any]) -> tuple[Callable[[dict[str, Any]], dict[str, float]], dict[str, float]]:
    """Set up the library over a transport that answers at once, with a policy of the size asked for.

    Along the axis of everything it is the whole client, since URLs are its business, and each host was called before.
    """
    compiled.use(orders["compiled"])
    import httpx

    from ambassador_lib import AmbassadorTransport, Client

    from ..costs.null import NullTransport
    from .documents import DOCUMENTS, HOST, urls

    compiled.check(orders["compiled"])
    warm = AmbassadorTransport(DOCUMENTS[orders["axis"]](1), inner=NullTransport(streamed=True))
    warm.handle_request(httpx.Request("GET", urls()[0])).read()
    document = DOCUMENTS[orders["axis"]](orders["x"])
    gc.collect()
    before, start = resident(os.getpid()) or 0, time.perf_counter()
    turn: Callable[[dict[str, Any]], dict[str, float]]
    whole = orders["axis"] == "everything"
    if whole:
        client = Client(document, transport=NullTransport(streamed=False))
        new = (f"{HOST}/v1/charges?page={number}" for number in itertools.count())
        turn = lambda asked: loops.new_urls(client, new, asked["calls"])  # noqa: E731
    else:
        transport = AmbassadorTransport(document, inner=NullTransport(streamed=True))
        requests = [httpx.Request("GET", url) for url in urls()]
        turn = lambda asked: loops.in_a_row(transport, requests, asked["calls"])  # noqa: E731
    built = time.perf_counter() - start
    gc.collect()
    memory = (resident(os.getpid()) or 0) - before
    used = loops.use_every_host(client, new, orders["x"]) if whole else {}
    return turn, {"build": built, "memory": float(max(0, memory)), **used}


def network(orders: dict[str, Any]) -> tuple[Callable[[dict[str, Any]], dict[str, float]], dict[str, float]]:
    """Set up a client, sync or async, with a policy or without."""

    def turn(asked: dict[str, Any]) -> dict[str, float]:
        return loops.closed(orders, asked)

    return turn, {}


def main() -> None:
    lines: Iterator[str] = iter(sys.stdin)
    orders = json.loads(next(lines))
    turn, figures = null(orders) if orders["what"] == "null" else network(orders)
    print(json.dumps(figures), flush=True)
    for line in lines:
        print(json.dumps(turn(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
