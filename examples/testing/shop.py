"""A shop that charges cards: a FastAPI service that calls the billing service under the policy in `envoy.yaml`.

Nothing in here knows that it is tested: the client is made of the production file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from ambassador_lib import AsyncClient, CircuitOpenError

POLICY = Path(__file__).with_name("envoy.yaml")
BILLING = "http://127.0.0.1:15001"


class Order(BaseModel):
    """What somebody buys."""

    number: str
    cents: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Have one client for as long as the service runs."""
    async with AsyncClient(POLICY) as client:
        app.state.billing = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def place(order: Order, request: Request) -> dict[str, str]:
    """Charge the card; the order's number keeps the billing service from charging it twice."""
    billing: AsyncClient = request.app.state.billing
    try:
        response = await billing.post(
            f"{BILLING}/charges",
            json={"order": order.number, "cents": order.cents},
            headers={"idempotency-key": order.number},
        )
    except CircuitOpenError as error:
        raise HTTPException(503, "billing is resting", {"retry-after": "30"}) from error
    except httpx.TimeoutException as error:
        raise HTTPException(504, "billing takes too long") from error
    except httpx.TransportError as error:
        raise HTTPException(502, "billing cannot be reached") from error
    if response.is_error:
        raise HTTPException(502, f"billing answered {response.status_code}")
    try:
        charge = response.json()["id"]
    except (ValueError, KeyError) as error:  # a broken answer; the test with chaos in its name has found it
        raise HTTPException(502, "billing answered nonsense") from error
    return {"order": order.number, "charge": charge}
