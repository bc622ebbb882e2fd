"""The pytest plugin: fixtures, what is told at a test's end, and everybody it has to get on with."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from .conftest import Run
from .documents import policy
from .test_kit import secured

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.slow

BEGINNING = """
import asyncio, threading, time
import anyio, httpx, pytest
from ambassador_lib import AsyncClient, Client
from ambassador_lib.testing import *

CHARGES = "http://127.0.0.1:15001/charges"
POINTED = {"billing_upstream": None}

@pytest.fixture
def payment(simulated_upstreams, ambassador_policy):
    payment = simulated_upstreams.payment
    payment.replies(json={"id": "ch_1"})
    ambassador_policy("envoy.yaml", upstreams={"billing_upstream": payment})
    return payment
"""


def write(pytester: pytest.Pytester, text: str, name: str = "test_it.py") -> None:
    """Write a module of tests, and the policy that it uses."""
    Path("envoy.yaml").write_text(json.dumps(policy("mail")))
    Path(name).write_text(BEGINNING + textwrap.dedent(text))


def needs(module: str) -> pytest.MarkDecorator:
    is_missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(is_missing and "CI" not in os.environ, reason=f"{module} is not installed")


# --- what it gives ------------------------------------------------------------------------------------------------


def test_fixtures_give_upstreams_policies_and_time(pytester: pytest.Pytester, run: Run) -> None:
    """Real ones, simulated ones, by name or as a factory; virtual time for blocking tests and for both loops."""
    write(
        pytester,
        """
        def test_a_real_one(upstream, upstreams, ambassador_policy):
            upstream.replies(503, 200)
            assert upstreams("upstream") is upstream
            with Client(ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstream})) as client:
                assert client.get(CHARGES).status_code == 200
            assert_calls(upstream, tries=2)

        def test_a_simulated_one(simulated_upstream, ambassador_policy, virtual_time):
            simulated_upstream.is_down(for_=30).then.replies(200)
            began = time.monotonic()
            with Client(ambassador_policy("envoy.yaml", upstreams={"billing_upstream": simulated_upstream})) as client:
                with pytest.raises(httpx.ConnectError):
                    client.get(CHARGES)
                virtual_time.sleep(31)
                assert client.get(CHARGES).status_code == 200
            assert time.monotonic() - began < 20
            assert virtual_time.elapsed > 31

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_under_asyncio(payment, virtual_time):
            payment.is_slow(0.5)
            async with AsyncClient("envoy.yaml") as client:
                with assert_total_time_below(0.6):
                    await asyncio.gather(client.get(CHARGES), client.get(CHARGES))
                await asyncio.sleep(300)
                await anyio.sleep(300)
            assert virtual_time.elapsed > 600

        class TestTrio:
            @pytest.fixture
            def anyio_backend(self, virtual_time):
                return "trio", {"clock": virtual_time.trio_clock()}

            @pytest.mark.anyio
            async def test_under_trio(self, payment, virtual_time):
                async with AsyncClient("envoy.yaml") as client:
                    assert (await client.get(CHARGES)).json() == {"id": "ch_1"}
                await anyio.sleep(300)
                assert virtual_time.elapsed >= 300
        """,
    )
    run("-q").assert_outcomes(passed=4)


def test_nothing_is_left_behind(pytester: pytest.Pytester, run: Run) -> None:
    """After tests that pass and tests that fail there is no thread, no port, no patch, no mapping."""
    write(
        pytester,
        """
        import socket
        from ambassador_lib import surroundings

        KEPT = {}

        @pytest.mark.parametrize("number", range(2))
        @pytest.mark.xfail(strict=True)
        def test_1(upstreams, ambassador_policy, number):
            KEPT["addresses"] = upstreams("payment", endpoints=2).addresses
            upstreams.payment.hangs()
            client = Client(ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstreams.payment}))
            client.get(CHARGES, timeout=0.01)

        @pytest.mark.xfail(strict=True)
        def test_2(payment, virtual_time):
            payment.hangs()
            Client("envoy.yaml").get(CHARGES)

        def test_3():
            assert [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()] == []
            assert surroundings.installed is None
            assert time.sleep.__module__ == "time"
            assert asyncio.BaseEventLoop._run_once.__module__ == "asyncio.base_events"
            for address in KEPT["addresses"]:
                with socket.socket() as sock:
                    assert sock.connect_ex(address) != 0
        """,
    )
    run("-q").assert_outcomes(passed=1, xfailed=3)


# --- what it tells ------------------------------------------------------------------------------------------------


def test_misuse_fails_a_test_that_has_swallowed_it(pytester: pytest.Pytester, run: Run) -> None:
    """Each kind says what to write, in the test's own failure."""
    write(
        pytester,
        """
        def swallowing(call, *given):
            try:
                return call(*given)
            except Exception:
                pass

        def test_unscripted(simulated_upstreams, ambassador_policy):
            mail = simulated_upstreams.mail
            with Client(ambassador_policy("envoy.yaml", upstreams={"mail": mail})) as client:
                assert client.get("http://127.0.0.1:15001/mail").status_code == 501

        def test_unmapped(payment):
            with Client("envoy.yaml") as client:
                swallowing(client.get, "http://127.0.0.1:15001/mail")

        def test_misspelt(upstreams, ambassador_policy):
            ambassador_policy("envoy.yaml", upstreams={"billing_upstrem": upstreams.payment})

        def test_never(simulated_upstreams):
            simulated_upstreams.payment.fails().then.replies(200)

        def test_mixed(upstreams, simulated_upstreams, ambassador_policy):
            both = {"billing_upstream": upstreams.payment, "mail": simulated_upstreams.mail}
            ambassador_policy("envoy.yaml", upstreams=both)

        def test_real_in_virtual_time(upstreams, virtual_time, ambassador_policy):
            ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstreams.payment})

        def test_sleeping(virtual_time):
            time.sleep(30)

        def test_two_loops(virtual_time):
            async def pause():
                await asyncio.sleep(1)

            async def main():
                await asyncio.sleep(1)
                await asyncio.to_thread(asyncio.run, pause())

            asyncio.run(main())

        def test_never_woken(virtual_time):
            asyncio.run(asyncio.Event().wait())

        def test_own_clock(payment):
            with Client("envoy.yaml", clock=FakeClock()) as client:
                client.get(CHARGES)
        """,
    )
    result = run("-q", "-W", "ignore")
    result.assert_outcomes(failed=10)
    result.stdout.fnmatch_lines_random(
        [
            "*MisuseError: mail was asked GET /mail, and nobody scripted that: nothing was said of mail*",
            "*MisuseError: a call at test_it.py:* went to the cluster 'mail', for which no upstream stands in*",
            "*MisuseError: the policy has no cluster 'billing_upstrem'*did you mean 'billing_upstream'?",
            "*ScriptError: *fails() has no end, so replies(200) after it can never fire*",
            "*MisuseError: real and simulated upstreams are mixed*",
            "*MisuseError: real upstreams under virtual time*",
            "*MisuseError: time.sleep(30) under virtual time would really sleep*",
            "*MisuseError: a client has a clock of its own*",
            "*MisuseError: virtual time is used from two event loops at the same time*",
            "*MisuseError: virtual time stands still: the event loop waits without a bound*",
        ]
    )


def test_a_failed_test_shows_its_calls(pytester: pytest.Pytester, run: Run) -> None:
    """Whatever it was that failed; a failed assertion of the kit has them already."""
    write(
        pytester,
        """
        def test_plain(payment):
            payment.replies(503, 200)
            with Client("envoy.yaml") as client:
                assert client.get(CHARGES).status_code == 201

        def test_ours(payment):
            with Client("envoy.yaml") as client:
                client.get(CHARGES)
            assert_calls(payment, tries=2)
        """,
    )
    result = run("-q")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*- ambassador_lib: calls -*", "*#1 payment*503*retried: 5xx", "*#2 payment*200*"])
    assert str(result.stdout).count("ambassador_lib: calls") == 1


def test_trio_wants_the_virtual_clock(pytester: pytest.Pytester, run: Run) -> None:
    """anyio runs tests under trio, too, where it is installed: without the clock that is told at once."""
    write(
        pytester,
        """
        @pytest.mark.anyio
        async def test_naive(payment):
            async with AsyncClient("envoy.yaml") as client:
                await client.get(CHARGES)

        @pytest.fixture
        async def client(payment):
            async with AsyncClient("envoy.yaml") as client:
                await client.get(CHARGES)
                yield client

        @pytest.mark.anyio
        async def test_with_a_fixture(client):
            await client.get(CHARGES)

        @pytest.mark.anyio
        async def test_without_virtual_time(upstream):
            await anyio.sleep(0)
        """,
    )
    result = run("-q")
    result.assert_outcomes(passed=4, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*MisuseError: under trio virtual time needs its clock: let the fixture*"])


def test_a_failed_test_shows_misuse_too(pytester: pytest.Pytester, run: Run) -> None:
    """It may be why the test has failed."""
    write(
        pytester,
        """
        def test_unscripted(simulated_upstreams, ambassador_policy):
            ambassador_policy("envoy.yaml", upstreams={"mail": simulated_upstreams.mail})
            with Client("envoy.yaml") as client:
                assert client.get("http://127.0.0.1:15001/mail").status_code == 200
        """,
    )
    result = run("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- ambassador_lib: misuse -*", "mail was asked GET /mail, and nobody scripted that*"])


def test_steps_that_nobody_saw_are_a_warning(pytester: pytest.Pytester, run: Run) -> None:
    """It can be made an error as every warning, and is none where a test has failed anyway."""
    write(
        pytester,
        """
        def test_unseen(payment):
            payment.fails(1).then.resets(times=1).then.replies(200)
            with Client("envoy.yaml") as client:
                client.get(CHARGES)
            payment.fails(2)
        """,
    )
    run("-q").assert_outcomes(failed=1)
    result = run("-q", "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*UnfiredStepWarning: payment.fails(2) has not happened*"])


# --- others -------------------------------------------------------------------------------------------------------


@needs("pytest_asyncio")
def test_it_works_with_pytest_asyncio(pytester: pytest.Pytester, run: Run) -> None:
    """Its loops take part in virtual time, in strict and in auto mode."""
    write(
        pytester,
        """
        import pytest_asyncio

        @pytest_asyncio.fixture
        async def client(payment):
            async with AsyncClient("envoy.yaml") as client:
                yield client

        @pytest.mark.asyncio
        async def test_it(client, payment, virtual_time):
            payment.fails(2).then.replies(200)
            assert (await client.get(CHARGES)).status_code == 200
            await asyncio.sleep(3600)
            async with asyncio.timeout(100):
                await asyncio.sleep(99)
            assert virtual_time.elapsed > 3600

        @pytest.mark.asyncio
        async def test_really(upstreams, ambassador_policy):
            upstreams.payment.replies(200)
            ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstreams.payment})
            async with AsyncClient("envoy.yaml") as client:
                assert (await client.get(CHARGES)).status_code == 200

        @pytest.mark.asyncio
        @pytest.mark.chaos(examples=3)
        async def test_chaos(client, payment):
            try:
                await client.get(CHARGES)
            except httpx.TransportError:
                pass
        """,
    )
    for mode in ("strict", "auto"):
        loops = "asyncio_default_fixture_loop_scope=function"
        run("-q", "-o", loops, f"--asyncio-mode={mode}", asyncio=True).assert_outcomes(passed=3)


def test_it_works_under_xdist(pytester: pytest.Pytester, run: Run) -> None:
    """Several processes at once, each with ports and worlds of its own."""
    text = """
        @pytest.mark.parametrize("number", range(6))
        def test_really(upstreams, ambassador_policy, number):
            upstreams("payment", endpoints=3).replies(200)
            with Client(ambassador_policy("envoy.yaml", upstreams={"billing_upstream": upstreams.payment})) as client:
                assert [client.get(CHARGES).status_code for _ in range(6)] == [200] * 6

        @pytest.mark.parametrize("number", range(6))
        @pytest.mark.chaos(examples=2)
        def test_virtually(payment, number):
            with Client("envoy.yaml") as client:
                try:
                    client.get(CHARGES)
                except httpx.TransportError:
                    pass
    """
    write(pytester, text)
    run("-q", "-n", "2").assert_outcomes(passed=12)


def test_mocks_of_httpx_go_on_seeing_our_calls(pytester: pytest.Pytester, run: Run) -> None:
    """respx and pytest-httpx, with and without the kit's fixtures around them: each try, at its logical URL."""
    write(
        pytester,
        """
        import respx

        @respx.mock
        def test_respx_alone():
            route = respx.get(CHARGES).mock(side_effect=[httpx.Response(503), httpx.Response(200)])
            with Client("envoy.yaml") as client:
                assert client.get(CHARGES).status_code == 200
            assert route.call_count == 2

        @respx.mock
        def test_respx_in_virtual_time(virtual_time):
            route = respx.get(CHARGES).respond(503)
            with Client("envoy.yaml") as client:
                assert client.get(CHARGES).status_code == 503
            assert route.call_count == 3
            assert 0 < virtual_time.elapsed < 1

        @respx.mock
        def test_respx_beside_a_mapping(payment):
            respx.get("http://127.0.0.1:15001/mail").respond(text="mock")
            with Client("envoy.yaml") as client:
                assert client.get("http://127.0.0.1:15001/mail").text == "mock"
            assert payment.requests == []

        @respx.mock
        async def in_a_loop():
            respx.get(CHARGES).respond(text="mock")
            async with AsyncClient("envoy.yaml") as client:
                return (await client.get(CHARGES)).text

        def test_respx_in_a_loop(virtual_time):
            assert asyncio.run(in_a_loop()) == "mock"

        def test_pytest_httpx(httpx_mock):
            httpx_mock.add_response(status_code=503)
            httpx_mock.add_response(text="mock")
            with Client("envoy.yaml") as client:
                assert client.get(CHARGES).text == "mock"

        def test_pytest_httpx_beside_a_mapping(payment, httpx_mock):
            httpx_mock.add_response(text="mock")
            with Client("envoy.yaml") as client:
                assert client.get("http://127.0.0.1:15001/mail").text == "mock"

        @respx.mock
        def test_what_respx_passes_on_does_not_leave(payment):
            respx.route(port=15001).pass_through()
            with Client("envoy.yaml") as client, pytest.raises(MisuseError, match="a mock of httpx has passed GET"):
                client.get(CHARGES)
            KIT["kit"]._around.pointing.misuses.clear()

        @respx.mock
        async def passed_on():
            respx.route(port=15001).pass_through()
            async with AsyncClient("envoy.yaml") as client:
                await client.get(CHARGES)

        def test_what_respx_passes_on_in_a_loop_does_not_leave(payment):
            with pytest.raises(MisuseError, match="a mock of httpx has passed GET"):
                asyncio.run(passed_on())
            KIT["kit"]._around.pointing.misuses.clear()

        KIT = {}

        @pytest.fixture(autouse=True)
        def kept(ambassador_kit):
            KIT["kit"] = ambassador_kit

        @respx.mock
        def test_what_no_policy_has_may_be_passed_on(upstreams):
            upstreams.payment.replies(200)
            respx.route(host="127.0.0.1").pass_through()
            with Client() as client:
                assert client.get(upstreams.payment.url).status_code == 200
            async def main():
                async with AsyncClient() as client:
                    return (await client.get(upstreams.payment.url)).status_code
            assert asyncio.run(main()) == 200

        @respx.mock
        def test_without_certificates(simulated_upstreams, ambassador_policy):
            ambassador_policy("secured.json", upstreams={"billing_upstream": simulated_upstreams.payment})
            respx.get(CHARGES).respond(text="mock")
            with Client("secured.json") as client:
                assert client.get(CHARGES).text == "mock"

        def test_afterwards(payment):
            with Client("envoy.yaml") as client:
                assert client.get(CHARGES).json() == {"id": "ch_1"}
        """,
    )
    Path("secured.json").write_text(json.dumps(secured()))
    run("-q").assert_outcomes(passed=11)


def test_it_works_with_unittest(pytester: pytest.Pytester, run: Run) -> None:
    """Run by pytest and by unittest itself, blocking and with a loop."""
    text = """
        import unittest

        class Charges(unittest.TestCase):
            def setUp(self):
                self.kit = self.enterContext(simulation(seed=3))
                self.payment = self.kit.simulated_upstreams.payment
                self.kit.policy("envoy.yaml", upstreams={"billing_upstream": self.payment})

            def test_two_failures(self):
                self.payment.fails(2).then.replies(200)
                with Client("envoy.yaml") as client:
                    self.assertEqual(client.get(CHARGES).status_code, 200)
                assert_calls(self.payment, tries=3)

            def test_outage(self):
                self.payment.is_down(for_=30).then.replies(200)
                with Client("envoy.yaml") as client:
                    with self.assertRaises(httpx.ConnectError):
                        client.get(CHARGES)
                    self.kit.virtual_time.sleep(31)
                    self.assertEqual(client.get(CHARGES).status_code, 200)

        class InALoop(unittest.IsolatedAsyncioTestCase):
            async def test_it(self):
                with simulation() as kit:
                    payment = kit.simulated_upstreams.payment
                    payment.is_slow(0.5)
                    kit.policy("envoy.yaml", upstreams={"billing_upstream": payment})
                    async with AsyncClient("envoy.yaml") as client:
                        await client.get(CHARGES)
                        await asyncio.sleep(60)
                    self.assertGreater(kit.virtual_time.elapsed, 60)
    """
    write(pytester, text)
    run("-q").assert_outcomes(passed=3)
    apart = pytester.run(sys.executable, "-W", "error", "-m", "unittest", "test_it", timeout=60)
    assert apart.ret == 0
    apart.stderr.fnmatch_lines(["Ran 3 tests*", "OK"])


def test_a_client_made_at_import_may_lack_its_certificates(pytester: pytest.Pytester, run: Run) -> None:
    """With `ambassador_lib_stand_ins`, and not without it: elsewhere a missing file is an error as ever."""
    write(
        pytester,
        """
        import application

        def test_it(upstreams, ambassador_policy):
            upstreams.payment.replies(200)
            ambassador_policy("secured.json", upstreams={"billing_upstream": upstreams.payment})
            assert application.client.get(CHARGES).status_code == 200
            assert upstreams.payment.requests[0].client == "shop"
            application.client.close()
        """,
    )
    Path("secured.json").write_text(json.dumps(secured()))
    Path("application.py").write_text("from ambassador_lib import Client\nclient = Client('secured.json')\n")
    run("-q", "-o", "ambassador_lib_stand_ins=true").assert_outcomes(passed=1)
    result = run("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*say in pytest's configuration: ambassador_lib_stand_ins = true"])


def test_a_client_made_at_import_reaches_nobody_before_its_first_call(pytester: pytest.Pytester, run: Run) -> None:
    """No lookup, no health check, no thread: neither while tests are collected nor while its policy is mapped."""
    write(
        pytester,
        """
        import application

        def quiet():
            return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()] == []

        def test_before():
            assert quiet()

        def test_mapped(simulated_upstreams, ambassador_policy, virtual_time):
            simulated_upstreams.payment.replies(200)
            ambassador_policy("checked.json", upstreams={"billing_upstream": simulated_upstreams.payment})
            assert application.client.get(CHARGES).status_code == 200
            virtual_time.sleep(60)
            assert len(simulated_upstreams.payment.health_checks) > 2
            assert quiet()

        def test_one_of_its_own():
            with Client("checked.json"):
                assert not quiet()
            application.client.close()
        """,
    )
    check = {"timeout": "1s", "interval": "5s", "unhealthy_threshold": 2, "healthy_threshold": 2}
    checks = [{**check, "http_health_check": {"path": "/health"}}]
    document = policy(health_checks=checks)
    for lb in document["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]:
        lb["endpoint"]["address"]["socket_address"].update(address="127.0.0.1", port_value=9)
    Path("checked.json").write_text(json.dumps(document))
    Path("application.py").write_text("from ambassador_lib import Client\nclient = Client('checked.json')\n")
    run("-q").assert_outcomes(passed=3)


def test_who_asks_for_nothing_pays_nothing(pytester: pytest.Pytester, run: Run) -> None:
    """The plugin loads nothing of the kit, no httpx and no Hypothesis by itself."""
    Path("test_it.py").write_text(
        textwrap.dedent(
            """
            import sys

            def test_it():
                ours = {name for name in sys.modules if name.startswith("ambassador_lib.")}
                assert ours <= {"ambassador_lib." + name for name in ("surroundings", "testing", "testing.plugin")}
            """
        )
    )
    run("-q", "-p", "no:hypothesispytest", "-p", "no:pytest_httpx", "-p", "no:respx").assert_outcomes(passed=1)
