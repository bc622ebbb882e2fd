"""The shop's own tests: what its customers see when billing fails, by the policy that runs in production.

Run them with `python -m pytest examples/testing`. All but the last one run in virtual time, and take milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from ambassador_lib.testing import (
    Upstreams,
    assert_breaker,
    assert_calls,
    assert_no_duplicate_writes,
    assert_total_time_below,
)

from .shop import POLICY, app

pytestmark = pytest.mark.anyio
ORDER = {"number": "A-1", "cents": 1200}


@pytest.fixture
def anyio_backend() -> str:
    """FastAPI runs on asyncio."""
    return "asyncio"


@pytest.fixture
def billing(simulated_upstreams, ambassador_policy):
    """The billing service, well until a test says otherwise, behind the shop's own policy."""
    billing = simulated_upstreams("billing")
    billing.on("POST", "/charges").replies(status=201, json={"id": "ch_1"})
    ambassador_policy(POLICY, upstreams={"billing_upstream": billing})
    return billing


@pytest.fixture
async def shop(billing) -> AsyncIterator[httpx.AsyncClient]:
    """The running service, as its customers see it."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        yield client


async def test_an_order_is_charged(shop, billing):
    """All is well."""
    response = await shop.post("/orders", json=ORDER)
    assert (response.status_code, response.json()) == (201, {"order": "A-1", "charge": "ch_1"})
    assert_calls(billing, tries=1, statuses=[201])


async def test_two_failures_are_not_seen(shop, billing):
    """The policy retries twice, which is enough."""
    billing.on("POST", "/charges").fails(2, status=503).then.replies(status=201, json={"id": "ch_2"})
    response = await shop.post("/orders", json=ORDER)
    assert response.json()["charge"] == "ch_2"
    assert_calls(billing, tries=3, statuses=[503, 503, 201])


async def test_a_hanging_billing_service_costs_no_more_than_the_policy_allows(shop, billing):
    """Tries of two seconds, five in all; the customer is told."""
    billing.on("POST", "/charges").hangs()
    with assert_total_time_below(5.1):
        response = await shop.post("/orders", json=ORDER)
    assert response.status_code == 504


async def test_an_outage_opens_the_breaker_and_its_end_closes_it(shop, billing):
    """While billing is down it is left in peace; half a minute later the first order tries it again."""
    billing.is_down(for_=30)
    statuses = [(await shop.post("/orders", json=ORDER)).status_code for _ in range(5)]
    assert statuses == [502, 502, 503, 503, 503]
    assert_breaker(app.state.billing, "billing_upstream", "open")

    await asyncio.sleep(31)  # virtual seconds
    assert (await shop.post("/orders", json=ORDER)).status_code == 201
    assert_breaker(app.state.billing, "billing_upstream", "closed")


async def test_a_name_server_that_fails_costs_nothing_while_the_addresses_are_known(shop, billing):
    """Addresses that were found once are kept while lookups fail."""
    assert (await shop.post("/orders", json=ORDER)).status_code == 201
    billing.dns.fails(for_=60)
    await asyncio.sleep(30)
    assert (await shop.post("/orders", json=ORDER)).status_code == 201


@pytest.mark.chaos(examples=15)
async def test_whatever_happens_nobody_waits_long_and_everybody_gets_an_answer(shop, billing):
    """Under any schedule of faults an order ends within five seconds, in one of the ways that customers know."""
    with assert_total_time_below(6):
        response = await shop.post("/orders", json=ORDER)
    assert response.status_code in (201, 502, 503, 504)
    assert_no_duplicate_writes(billing, keys_are_honoured=True)


async def test_the_real_wire(upstreams: Upstreams, ambassador_policy):
    """Over a real connection the shop shows its certificate, and sends what billing expects."""
    billing = upstreams("billing")
    billing.on("POST", "/charges").replies(status=201, json={"id": "ch_3"})
    ambassador_policy(POLICY, upstreams={"billing_upstream": billing})
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        assert (await client.post("/orders", json=ORDER)).status_code == 201
    (seen,) = billing.requests
    assert (seen.client, seen.server_name, seen.header("idempotency-key")) == ("shop", "billing.internal", "A-1")
