"""The pytest plugin (entry point `pytest11`): fixtures, the marker `chaos`, and what is told at a test's end.

Nothing of the kit is loaded before a test asks for a fixture, and a test that asks for none is left alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .. import surroundings

if TYPE_CHECKING:
    from ..policy import Policy
    from .kit import Kit, Upstreams
    from .simulated import SimulatedUpstream
    from .upstream import Upstream
    from .virtual_time import VirtualTime

KIT: pytest.StashKey[Kit] = pytest.StashKey()
PREPARE: pytest.StashKey[Callable[[Kit], None]] = pytest.StashKey()
"""What is done with a test's kit before the test has it."""
CHAOS = "chaos"
STAND_INS = "ambassador_lib_stand_ins"
MISSING = (
    "A policy is loaded at import, and names files that this machine does not have. If these are certificates, keys or "
    f"secrets of production, say in pytest's configuration: {STAND_INS} = true"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell of the options in pytest's configuration."""
    parser.addini(
        STAND_INS,
        "let certificates, keys and secrets be missing that policies name, also of clients made at import: the "
        "testing kit's stand in for them (ambassador_lib)",
        type="bool",
        default=False,
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, Any, Any]:
    """Have clients that are made at import begin with their first call: before it nothing reaches production."""
    surroundings.begins_late = True
    try:
        return (yield)
    except BaseException:  # pytest ends here, and tells nobody
        surroundings.begins_late = False
        raise


def pytest_collection_finish() -> None:
    """All is imported: what is made from now on is made by tests."""
    surroundings.begins_late = False


def pytest_unconfigure() -> None:
    """Leave nothing behind, also where nothing was collected."""
    surroundings.begins_late = False


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker, and let files be missing where that is wanted."""
    if config.getini(STAND_INS):
        from .kit_tls import stand_in_for_files

        config.add_cleanup(stand_in_for_files())
    config.addinivalue_line(
        "markers",
        "chaos(examples=20, schedules=None, upstreams=None, seed=0): run the test under generated schedules of faults "
        "of its upstreams, and print the smallest that makes it fail (ambassador_lib)",
    )


# --- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture(name="ambassador_seed")
def ambassador_seed_fixture() -> int:
    """What chance begins with, for a test of one's own to override or to parametrize."""
    return 0


@pytest.fixture(name="ambassador_kit")
def ambassador_kit_fixture(request: pytest.FixtureRequest, ambassador_seed: int) -> Iterator[Kit]:
    """Everything of the test (`ambassador_lib.testing.Kit`); the other fixtures are its parts."""
    from .kit import Kit

    kit = Kit(seed=ambassador_seed)
    request.node.stash[KIT] = kit
    prepare = request.node.stash.get(PREPARE, None)
    if prepare is not None:
        prepare(kit)
    try:
        yield kit
    finally:
        kit.close()


@pytest.fixture(name="upstreams")
def upstreams_fixture(ambassador_kit: Kit) -> Upstreams[Upstream]:
    """Real upstreams on loopback ports: `upstreams("payment", endpoints=3)`, `upstreams.payment`."""
    return ambassador_kit.upstreams


@pytest.fixture(name="upstream")
def upstream_fixture(ambassador_kit: Kit) -> Upstream:
    """A real upstream on a loopback port."""
    return ambassador_kit.upstreams("upstream")


@pytest.fixture(name="virtual_time")
def virtual_time_fixture(ambassador_kit: Kit) -> VirtualTime:
    """Virtual time, which drives every timer of the library and the test's own `asyncio.sleep` and `anyio.sleep`."""
    return ambassador_kit.virtual_time


@pytest.fixture(name="simulated_upstreams")
def simulated_upstreams_fixture(
    ambassador_kit: Kit,
    virtual_time: VirtualTime,  # noqa: ARG001 - begins
) -> Upstreams[SimulatedUpstream]:
    """Upstreams without sockets, in virtual time: `simulated_upstreams("payment", endpoints=3)`."""
    return ambassador_kit.simulated_upstreams


@pytest.fixture(name="simulated_upstream")
def simulated_upstream_fixture(simulated_upstreams: Upstreams[SimulatedUpstream]) -> SimulatedUpstream:
    """An upstream without sockets, in virtual time."""
    return simulated_upstreams("upstream")


@pytest.fixture(name="ambassador_policy")
def ambassador_policy_fixture(ambassador_kit: Kit) -> Callable[..., Policy]:
    """Points a policy at upstreams for the test, and returns it so pointed:
    `ambassador_policy("envoy.yaml", upstreams={"billing_upstream": payment})`."""
    return ambassador_kit.policy


# --- the end of a test --------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that misused the kit, even if the application has swallowed it."""
    _check_trio(item, getattr(item, "funcargs", {}).get("anyio_backend"))
    result = yield
    kit = item.stash.get(KIT, None)
    if kit is not None:
        from .misuse import MisuseError

        try:
            kit.check()
        except MisuseError as error:
            pytest.fail(f"MisuseError: {error}", pytrace=False)  # no line of the test's is at work any more
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Have asynchronous fixtures checked for what is checked of tests."""
    if KIT in request.node.stash and "anyio_backend" in request.fixturenames:
        function = fixturedef.func
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            _check_trio(request.node, request.getfixturevalue("anyio_backend"))


def _check_trio(node: Any, backend: object) -> None:
    """Refuse anyio's tests under trio whose clock is not the virtual one: they would really wait."""
    kit = node.stash.get(KIT, None)
    if kit is None or not kit.is_virtual:
        return
    name, options = backend if isinstance(backend, tuple) else (backend, {})
    if name == "trio" and "clock" not in options:
        from .misuse import MisuseError

        raise MisuseError(
            "under trio virtual time needs its clock: let the fixture `anyio_backend` return "
            '("trio", {"clock": virtual_time.trio_clock()}), or "asyncio" alone'
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the calls of a test that failed, and what the kit has told meanwhile."""
    report = yield
    kit = item.stash.get(KIT, None)
    if kit is not None and call.when == "call" and report.failed:
        for title, told in (("calls", kit.told()), ("misuse", "\n".join(kit.misuses))):
            if told and not _is_shown(report, told):
                report.sections.append((f"ambassador_lib: {title}", told))
    if call.when == "teardown" and KIT in item.stash:
        del item.stash[KIT]
    return report


def _is_shown(report: pytest.TestReport, told: str) -> bool:
    first = told.splitlines()[0].strip()
    return first in report.longreprtext


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Name the way out where a client is made at import, and files are missing that only production has."""
    report = yield
    if report.failed and all(word in report.longreprtext for word in ("PolicyError", "cannot be read")):
        report.sections.append(("ambassador_lib", MISSING))
    return report


# --- chaos --------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test that is marked `chaos` once for each schedule."""
    marker = item.get_closest_marker(CHAOS)
    if marker is None:
        return None
    from .chaos import run

    return run(item, nextitem, marker)
