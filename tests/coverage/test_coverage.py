"""The coverage list is the loader's own word, and what it says of a field is what the loader does with it."""

from __future__ import annotations

import pathlib

import pytest

from ambassador_lib.errors import PolicyError
from ambassador_lib.policy import Policy
from ambassador_lib.policy.coverage import BOOTSTRAP, NO_EFFECT, NOTED, REFUSED, SAME, Coverage, covered, refused_types
from ambassador_lib.policy.descriptors import Field
from ambassador_lib.policy.schema import envoy
from ambassador_lib.policy.support_notes import NOTES
from tests.parity.suite import bootstraps, discovered, everything

from . import examples, ignored
from .listed import Listed
from .page import PAGE, acted_on, recorded, render, setting
from .unseen import UNSEEN

LINES = covered(envoy())
BY_NAME = {line.name: line for line in LINES}
CLUSTER = "envoy.config.cluster.v3.Cluster"


def test_every_field_has_one_verdict() -> None:
    """Each field is listed once, with one of the four words, and with a reason where it is not simply the same."""
    assert len(BY_NAME) == len(LINES)
    for line in LINES:
        assert line.verdict in (SAME, NOTED, REFUSED, NO_EFFECT)
        assert bool(line.reason) == (line.verdict != SAME), line


def test_the_list_reaches_from_the_bootstrap_to_the_leaves() -> None:
    """What stands deep inside a policy is on the list, and so is the content of an `Any`."""
    for name in (
        f"{BOOTSTRAP}.static_resources",
        "envoy.config.route.v3.RetryPolicy.retry_on",
        "envoy.type.matcher.v3.StringMatcher.ignore_case",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.sni",
    ):
        assert BY_NAME[name].verdict == SAME


def test_the_page_is_what_the_loader_says() -> None:
    """docs/coverage.md is stale as soon as a table, a note or a scenario changes: `python -m tests.coverage.page`."""
    assert PAGE.read_text() == render(recorded()), "run python -m tests.coverage.page"


def test_every_difference_on_purpose_is_on_the_page_of_differences() -> None:
    """A scenario that differs as meant names a heading of docs/parity.md."""
    headings = {line[3:] for line in (PAGE.parent / "parity.md").read_text().splitlines() if line.startswith("## ")}
    named = {scenario.differs.heading for scenario in everything().values() if scenario.differs is not None}
    assert named <= headings


def test_notes_are_about_fields_that_exist() -> None:
    """A note on a field that is not on the list, or that is refused, would never be read."""
    for name in NOTES:
        assert BY_NAME[name].verdict == NOTED, name


@pytest.mark.parametrize("line", [line for line in LINES if line.message == CLUSTER], ids=lambda line: line.field)
def test_what_the_list_refuses_the_loader_refuses(line: Coverage) -> None:
    """A field of a cluster that is said to be refused is refused with that reason; any other is not."""
    field = envoy().find(CLUSTER).fields_by_name[line.field]  # type: ignore[union-attr]
    filled: object = {}
    if field.message_type is None:
        filled = {"string": "x", "bool": True}.get(field.kind, 1)
    document = {"static_resources": {"clusters": [{"name": "a", line.field: filled}]}}
    messages: list[str] = []
    try:
        Policy.parse(document)
    except PolicyError as error:
        messages = [fault.message for fault in error.faults]
    if line.verdict == REFUSED and _sets_it(field, filled):
        assert line.reason in messages
    elif line.verdict != REFUSED:
        assert not any(line.reason and line.reason in message for message in messages)


def _sets_it(field: Field, filled: object) -> bool:
    return not (filled == {} and field.is_repeated)


def test_extensions_that_are_refused_are_listed_with_their_reason() -> None:
    """A filter that cannot run in the process stands on the list under its type."""
    types = refused_types(envoy())
    assert "lua" in types["envoy.extensions.filters.http.lua.v3.Lua"]


def test_every_field_that_is_the_same_has_a_scenario_or_a_reason() -> None:
    """Either a scenario is known to fail without it, or the page says why it cannot be seen."""
    shown = recorded()
    assert set(acted_on()) - shown.keys() - UNSEEN.keys() == set(), "run python -m tests.coverage.ignored"
    assert shown.keys() & UNSEEN.keys() == set()
    assert (shown.keys() | UNSEEN.keys()) - set(acted_on()) == set(), "not there, or not the same"


def test_the_scenario_of_a_field_sets_it() -> None:
    """The scenarios on record exist, and have the field in their policies or in the files that they write."""
    setters = setting(bootstraps(), discovered())
    assert [name for name, scenario in recorded().items() if scenario not in setters.get(name, ())] == []


def test_the_smallest_policy_that_sets_a_field_comes_first() -> None:
    """The policy with less beside a field is tried first; resources count as the policy does."""
    small = {"static_resources": {"clusters": [{"name": "a"}]}}
    large = {"static_resources": {"clusters": [{"name": "a", "connect_timeout": "1s", "type": "EDS"}]}}
    eds = {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "a"}
    found = setting({"large": large, "small": small}, {"small": [eds]})
    assert found[f"{CLUSTER}.name"] == ["small", "large"]
    assert found[f"{CLUSTER}.connect_timeout"] == ["large"]
    assert found["envoy.config.endpoint.v3.ClusterLoadAssignment.cluster_name"][0] == "small"
    assert "| `connect_timeout` | same |  | `large` |" in render({f"{CLUSTER}.connect_timeout": "large"})


def test_a_field_that_cannot_be_seen_says_why() -> None:
    """The page has the reason where other fields have their scenario."""
    assert "| `protocol` | same | cannot be seen from outside: TCP is the default, and UDP is refused |  |" in render(
        {}
    )


@pytest.mark.slow
@pytest.mark.parity
def test_a_scenario_fails_where_its_field_is_ignored() -> None:
    """A field that is dropped by the loader is missed by the scenario that shows it, and not by one that does not."""
    field = "envoy.config.route.v3.RouteAction.prefix_rewrite"
    shows = recorded()[field]
    assert dict(ignored.search({field: [shows], f"{field}_": [shows]}, 2)) == {field: shows, f"{field}_": ""}


def test_a_fault_finds_its_field_on_the_list() -> None:
    """The path of a fault leads to the field or the type that the list has as refused, and to nothing else."""
    document = {"static_resources": {"clusters": [{"name": "a", "original_dst_lb_config": {}, "nonsense": 1}]}}
    with pytest.raises(PolicyError) as raised:
        Policy.parse(document)
    found = [Listed().names(fault, document) for fault in raised.value.faults]
    assert f"{CLUSTER}.original_dst_lb_config" in found
    assert "" in found, "a field that Envoy does not know either is no refusal of ours"


def test_examples_are_loaded_and_judged(tmp_path: pathlib.Path) -> None:
    """A file that both take, one that only Envoy takes for a listed reason; what is no bootstrap is passed over."""
    (tmp_path / "good.yaml").write_text("static_resources: {clusters: [{name: a, type: STATIC}]}")
    (tmp_path / "refused.yaml").write_text(
        "static_resources: {}\nhds_config: {api_type: GRPC, transport_api_version: V3}"
    )
    (tmp_path / "compose.yaml").write_text("services: {}")
    (tmp_path / "template.yaml").write_text("{% if x %}")
    page = tmp_path / "page.md"
    assert examples.main([str(tmp_path), "--page", str(page)]) == 0
    text = page.read_text()
    assert "2 files: 1 accepted by both, 1 by Envoy alone," in text
    assert f"{BOOTSTRAP}.hds_config" in text
