"""What an application may rely on whether the hot modules are compiled or not: these tests pass with both."""

from __future__ import annotations

import ast
import asyncio
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import ambassador_lib
from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport, AsyncClient, Client
from tests.client.documents import BASE, policy

PACKAGE = Path(ambassador_lib.__file__).parent
CLASSES = [value for name in ambassador_lib.__all__ if isinstance(value := getattr(ambassador_lib, name), type)]
OURS = f"{PACKAGE.name}/"


def failing(_request: httpx.Request) -> httpx.Response:
    raise LookupError("the application's own")


def blocking() -> None:
    with Client(policy(), transport=httpx.MockTransport(failing)) as client:
        client.get(BASE)


def awaiting() -> None:
    async def main() -> None:
        async with AsyncClient(policy(), transport=httpx.MockTransport(failing)) as client:
            await client.get(BASE)

    asyncio.run(main())


def lines_of(path: Path) -> dict[str, list[range]]:
    """Return where the functions of each name are in a file."""
    found: dict[str, list[range]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.setdefault(node.name, []).append(range(node.lineno, (node.end_lineno or 0) + 1))
    return found


@pytest.mark.parametrize("call", [blocking, awaiting])
def test_tracebacks_name_our_files_and_lines(call: Callable[[], None]) -> None:
    """Each function that an error came through is there, with its file and a line of its own."""
    with pytest.raises(LookupError) as caught:
        call()
    named = set()
    for frame in traceback.extract_tb(caught.value.__traceback__):
        _, ours, file = frame.filename.rpartition(OURS)
        if ours and (PACKAGE / file).exists():
            named.add(file)
            assert any(frame.lineno in lines for lines in lines_of(PACKAGE / file)[frame.name]), frame
    assert {"_httpx/clients.py", "one_try.py", "engine/foreign.py"} <= named


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_public_classes_are_ordinary_ones(kind: type) -> None:
    """An application may derive from them, give them attributes, and refer to them weakly."""
    derived = type(f"My{kind.__name__}", (kind,), {"mine": 1})
    made = derived.__new__(derived)
    object.__setattr__(made, "more", 2)  # one of them refuses changes by the plain way
    assert isinstance(made, kind) and (made.mine, made.more) == (1, 2)
    assert weakref.ref(made)() is made
    assert kind.__module__.startswith("ambassador_lib.")


@pytest.mark.parametrize("kind", [AmbassadorTransport, AsyncAmbassadorTransport])
def test_a_transports_methods_can_be_overridden(kind: type[Any]) -> None:
    """A call goes by way of what a subclass puts in their place."""
    passed = []

    class Blocking(AmbassadorTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            passed.append(self)
            return super().handle_request(request)

    class Awaiting(AsyncAmbassadorTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            passed.append(self)
            return await super().handle_async_request(request)

    inner = httpx.MockTransport(lambda _request: httpx.Response(200))

    async def main() -> None:
        async with httpx.AsyncClient(transport=Awaiting(policy(), inner=inner)) as client:
            assert (await client.get(BASE)).is_success

    if kind is AsyncAmbassadorTransport:
        asyncio.run(main())
    else:
        with httpx.Client(transport=Blocking(policy(), inner=inner)) as client:
            assert client.get(BASE).is_success
    assert len(passed) == 1 and isinstance(passed[0], kind)
