"""Assertions that explain themselves, over real upstreams and a mapped policy."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from ambassador_lib import Client, Policy, UpstreamResetError
from ambassador_lib.handlers import retry
from ambassador_lib.testing import (
    Kit,
    MisuseError,
    Upstream,
    assert_breaker,
    assert_calls,
    assert_no_duplicate_writes,
    assert_total_time_below,
    assertions,
    calls_as_timeline,
    mapped_policy,
)

from .documents import CHARGES, policy


@pytest.fixture
def payment() -> Iterator[Upstream]:
    """A real upstream with two endpoints."""
    with Upstream(name="payment", endpoints=2) as upstream:
        yield upstream


@pytest.fixture
def mapped(payment: Upstream) -> Iterator[Policy]:
    """The policy, pointed at it."""
    with mapped_policy(policy(), upstreams={"billing_upstream": payment}) as pointed:
        yield pointed


@pytest.fixture
def client(mapped: Policy) -> Iterator[Client]:
    """A client of that policy."""
    with Client(mapped) as made:
        yield made


def failure(error: pytest.ExceptionInfo[AssertionError]) -> str:
    return str(error.value)


# --- assert_calls -------------------------------------------------------------------------------------------------


def test_tries_and_statuses_are_those_of_all_endpoints_in_their_order(payment: Upstream, client: Client) -> None:
    """Retries go to one endpoint after the other, and count together."""
    payment.replies(503, 503, 200)
    assert client.get(CHARGES).status_code == 200
    assert_calls(payment, tries=3, statuses=[503, 503, 200])


def test_a_try_that_never_got_through_counts(payment: Upstream, client: Client) -> None:
    """A refused connection is a try; it has no status, but an exception."""
    payment.is_down()
    with pytest.raises(httpx.ConnectError):
        client.get(CHARGES)
    assert_calls(payment, tries=3, statuses=[None, None, httpx.ConnectError])
    assert payment.requests == []


def test_wrong_tries_are_shown_as_a_timeline(payment: Upstream, client: Client) -> None:
    """The failure names what was expected and what was, then each try, then what arrived."""
    payment.replies(503, 200)
    client.get(CHARGES)
    with pytest.raises(AssertionError) as error:
        assert_calls(payment, tries=3, statuses=[503, 503, 200])
    text = failure(error)
    assert text.startswith(
        "expected 3 tries of payment, there were 2; expected payment to answer [503, 503, 200], it was [503, 200]\n"
    )
    assert re.search(r"\+\d\.\d{3} s  GET http://127\.0\.0\.1:15001/charges  \(.*test_assertions\.py:\d+\)", text)
    assert re.search(r"\+\d\.\d{3} s    #1 payment\[[01]\]  503 in \d+ ms, retried: 5xx", text)
    assert "what payment has seen:" in text
    assert "by replies(503, 200)" in text


def test_without_a_policy_requests_are_what_counts(payment: Upstream) -> None:
    """An upstream is of use to any client."""
    payment.replies(503, 200)
    for _ in range(2):
        httpx.get(payment.url)
    assert_calls(payment, tries=2, statuses=[503, 200])
    with pytest.raises(AssertionError, match="expected 1 try of payment, there were 2"):
        assert_calls(payment, tries=1)


def test_what_is_idempotent_is_what_retries_take_for_it() -> None:
    """One truth about which methods may be repeated."""
    assert assertions.IDEMPOTENT == retry.IDEMPOTENT


def test_asserting_nothing_is_told(payment: Upstream) -> None:
    """Neither tries nor statuses would pass whatever happens."""
    with pytest.raises(MisuseError, match="nothing to assert"):
        assert_calls(payment)


def test_what_was_never_called_says_so(payment: Upstream) -> None:
    """No try at all is the commonest surprise."""
    with pytest.raises(AssertionError, match="expected payment to answer \\[200\\], it was never tried") as error:
        assert_calls(payment, statuses=[200])
    assert "no request arrived" in failure(error)


# --- assert_no_duplicate_writes -----------------------------------------------------------------------------------


def test_a_retried_write_is_a_duplicate(payment: Upstream, mapped: Policy) -> None:
    """With `retry_safety="policy"` a POST reaches the upstream twice: two tries of one call."""
    payment.replies(503, 200)
    with Client(mapped, retry_safety="policy") as client:
        client.post(CHARGES, json={"cents": 1})
    with pytest.raises(AssertionError) as error:
        assert_no_duplicate_writes(payment)
    assert failure(error).startswith(
        "POST /charges has reached payment twice with the same body, as its requests #1 (answered 503) and #2 "
        "(answered 200): two tries of one call\n"
    )


def test_keys_make_writes_the_same(payment: Upstream, client: Client) -> None:
    """Equal `Idempotency-Key`s are told, unless the upstream is known to honour them."""
    payment.replies(503, 200)
    client.post(CHARGES, json={"cents": 1}, headers={"idempotency-key": "k1"})
    with pytest.raises(AssertionError, match="with the same Idempotency-Key 'k1' \\(pass keys_are_honoured=True"):
        assert_no_duplicate_writes(payment)
    assert_no_duplicate_writes(payment, keys_are_honoured=True)


def test_writes_of_the_application_itself_are_told_apart(payment: Upstream, client: Client) -> None:
    """Two calls with the same body are the application's doing."""
    payment.replies(200)
    for _ in range(2):
        client.post(CHARGES, json={"cents": 1})
    with pytest.raises(AssertionError, match="two calls of the application"):
        assert_no_duplicate_writes(payment)


def test_what_may_be_repeated_is_no_duplicate(payment: Upstream, client: Client) -> None:
    """Reads, idempotent writes, and writes that differ."""
    payment.replies(503, 200)
    client.put(CHARGES, json={"cents": 1})
    for cents in range(2):
        client.post(CHARGES, json={"cents": cents})
    assert_no_duplicate_writes(payment)


# --- assert_total_time_below --------------------------------------------------------------------------------------


def test_real_time_is_measured_where_time_is_real(payment: Upstream, client: Client) -> None:
    """What takes too long fails, and its calls are shown."""
    payment.is_slow(0.05)
    with pytest.raises(AssertionError, match="expected less than 20 ms, it took") as error:
        with assert_total_time_below(0.02):
            client.get(CHARGES)
    assert "#1 payment[" in failure(error)
    with assert_total_time_below(30.0) as measured:
        time.sleep(0)
    assert measured.elapsed < 30


def test_a_response_an_exception_or_a_report_will_do(payment: Upstream, client: Client) -> None:
    """The whole call counts, and the failure shows it."""
    payment.replies(200)
    response = client.get(CHARGES)
    assert_total_time_below(30, response)
    with pytest.raises(AssertionError, match="expected less than 0 ms, it took"):
        assert_total_time_below(0.0, response.extensions["ambassador"])
    payment.resets()
    with pytest.raises(UpstreamResetError) as error:
        client.post(CHARGES)
    assert_total_time_below(30, error.value)


def test_what_fails_inside_keeps_its_own_error(payment: Upstream) -> None:
    """The time is of no interest then."""
    with pytest.raises(ZeroDivisionError), assert_total_time_below(0.0):
        1 / 0  # noqa: B018


def test_a_call_that_is_not_over_has_no_time_yet(payment: Upstream, client: Client) -> None:
    """A response whose body was not read, and what is no call at all."""
    payment.hangs(at="mid-body")
    with client.stream("GET", CHARGES) as response, pytest.raises(MisuseError, match="the call is not over"):
        assert_total_time_below(1.0, response)
    with pytest.raises(MisuseError, match="has no call's report"):
        assert_total_time_below(1.0, httpx.Response(200))


def test_a_forgotten_with_is_told(payment: Upstream) -> None:
    """It would assert nothing: where a kit is around it fails the test, elsewhere it is a warning."""
    with pytest.warns(
        RuntimeWarning, match=r"assert_total_time_below\(0\.0\) at .*test_assertions\.py:\d+ has asserted"
    ):
        assert_total_time_below(0.0)
    with pytest.raises(MisuseError, match="has asserted nothing: say `with assert_total_time_below"), Kit() as kit:
        kit.policy(policy(), upstreams={"billing_upstream": payment})
        assert_total_time_below(0.0)


# --- assert_breaker -----------------------------------------------------------------------------------------------


def test_a_breaker_has_the_state_of_the_client_that_is_asked(payment: Upstream, mapped: Policy) -> None:
    """It opens for the client that failed, and not for another."""
    payment.fails()
    with Client(mapped) as client, Client(mapped) as other:
        for _ in range(4):
            with contextlib.suppress(httpx.ConnectError):
                client.get(CHARGES)
        assert_breaker(client, "billing_upstream", "open")
        assert_breaker(other, "billing_upstream", "closed")
        with pytest.raises(AssertionError, match="expected the breaker of 'billing_upstream' to be closed, it is open"):
            assert_breaker(client, "billing_upstream", "closed")


def test_what_has_no_breaker_is_told(payment: Upstream) -> None:
    """A misspelt cluster, one without a breaker, a state that there is not, a client that is not ours."""
    with (
        mapped_policy(policy("mail"), upstreams={"billing_upstream": payment, "mail": payment}) as mapped,
        Client(mapped) as client,
    ):
        with pytest.raises(MisuseError, match="no cluster 'billing': did you mean 'billing_upstream'"):
            assert_breaker(client, "billing", "open")
        with pytest.raises(MisuseError, match="'mail' has no breaker: it has none without `circuit_breaker`"):
            assert_breaker(client, "mail", "open")
        with pytest.raises(MisuseError, match="no such state of a breaker: 'opened'; did you mean 'open'"):
            assert_breaker(client, "mail", "opened")  # type: ignore[arg-type]
    with httpx.Client() as plain, pytest.raises(MisuseError, match="has no policy"):
        assert_breaker(plain, "mail", "open")


def test_the_timeline_can_be_had_without_a_failure(payment: Upstream, client: Client) -> None:
    """All calls so far."""
    payment.replies(200)
    client.get(CHARGES)
    assert "GET http://127.0.0.1:15001/charges" in calls_as_timeline()
