"""Each fault says where it is, which field, what is wrong and what would help."""

from __future__ import annotations

from pathlib import Path

import pytest

from ambassador_lib.errors import AmbassadorError, PolicyError, PolicyFault
from ambassador_lib.policy import Policy

from .documents import HCM, ROUTER, TYPE, document

MANAGER = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
ROUTE = f"{MANAGER}.route_config.virtual_hosts[0].routes[0]"


def faults(text: object, source: str | None = None) -> tuple[PolicyFault, ...]:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text, source=source)  # type: ignore[arg-type]
    return caught.value.faults


def fault(text: object, source: str | None = None) -> PolicyFault:
    found = faults(text, source)
    assert len(found) == 1, found
    return found[0]


def where(text: str, piece: str) -> str:
    """Return `line:column` of a piece of text."""
    position = text.index(piece)
    line = text.count("\n", 0, position)
    return f"{line + 1}:{position - (text.rfind(chr(10), 0, position) + 1) + 1}"


def test_a_duration_in_milliseconds_is_told_in_seconds() -> None:
    """`500ms` is refused at its place, and the help says to write 0.5s."""
    text = document(cluster="connect_timeout: 500ms")
    found = fault(text, source="envoy.yaml")
    assert found.location == f"envoy.yaml:{where(text, '500ms')}"
    assert found.path == "static_resources.clusters[0].connect_timeout"
    assert "500ms" in found.message
    assert "write 0.5s" in found.help
    assert str(found).startswith(f"{found.location}: {found.path}: ")


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("250us", "0.00025s"),
        ("5", "5s"),
        ('"5"', "5s"),
        ("2m", "120s"),
        ("1.5h", "5400s"),
        ("1.5", "1.5s"),
        ("100ns", "0.0000001s"),
    ],
)
def test_other_units_are_converted(written: str, advice: str) -> None:
    """The help of a duration in another unit converts it to seconds."""
    assert f"write {advice}" in fault(document(cluster=f"connect_timeout: {written}")).help


def test_an_unknown_field_is_shown_at_its_name_with_the_nearest() -> None:
    """An unknown field is an error at its key, with the nearest valid name."""
    text = document(route="cluster: c, time_out: 1s")
    found = fault(text)
    assert found.location == f"<text>:{where(text, 'time_out')}"
    assert found.path == f"{ROUTE}.route.time_out"
    assert found.help == "did you mean timeout?"


def test_a_wrong_type_names_both() -> None:
    """A value of the wrong type says what it is and what is expected."""
    found = fault(document(route="cluster: c, retry_policy: {num_retries: many}"))
    assert found.message == "expected a whole number, not 'many'"
    assert fault(document(vhost="name: v, domains: x")).message == "expected a list, not 'x'"
    assert "expected a mapping" in fault(document(route="cluster: c, retry_policy: [a]")).message


def test_a_map_of_the_wrong_type_is_one_fault() -> None:
    """What could not be read is a fault, and stands for an empty map in what else is checked."""
    found = fault(document(vhost='name: v, domains: ["*"], typed_per_filter_config: 1e3'))
    assert found.message == "expected a mapping, not '1e3'"


@pytest.mark.parametrize("given", [{"node": {"id": "\ud800"}}, {"node": {"metadata": {"\ud800": 1}}}])
def test_text_that_cannot_be_written_is_a_fault(given: dict[str, object]) -> None:
    """A parsed document may hold what no file can."""
    assert "no text" in fault(given).message


def test_an_unquoted_boolean_for_a_string_says_to_quote_it() -> None:
    """`name: no` is a boolean to Envoy; the help says how to write the string."""
    found = fault(document(vhost='name: no, domains: ["*"]'))
    assert found.message == "expected a string, not the boolean false"
    assert "quote it" in found.help


def test_an_enum_value_is_corrected() -> None:
    """A wrong enum value gets the nearest one."""
    assert fault(document(kind="type: STRICTDNS")).help == "did you mean STRICT_DNS?"


def test_an_unknown_cluster_lists_the_known() -> None:
    """A route to a cluster that does not exist is an error at the name."""
    text = document(route="cluster: nowhere")
    found = fault(text)
    assert found.location == f"<text>:{where(text, 'nowhere')}"
    assert found.message == "unknown cluster 'nowhere'"
    assert found.help == "the clusters are c"


def test_weights_that_sum_to_zero_are_shown_at_the_list() -> None:
    """Weights of zero together choose nothing."""
    found = fault(document(route="weighted_clusters: {clusters: [{name: c, weight: 0}]}"))
    assert found.path == f"{ROUTE}.route.weighted_clusters.clusters"
    assert found.message == "the weights sum to zero"


def test_a_missing_field_is_shown_at_its_message() -> None:
    """A required field that is missing is reported at the mapping that should hold it."""
    found = fault(document(vhost="name: v"))
    assert found.path == f"{MANAGER}.route_config.virtual_hosts[0].domains"
    assert found.message.startswith("required field is missing")


def test_every_fault_is_reported_at_once_in_the_order_of_the_file() -> None:
    """Faults of all kinds come together, in the file's order."""
    text = document(
        vhost='name: 5, domains: ["*"]',
        match="prefx: /",
        on_route="request_headers_to_remove: [host]",
        cluster="connect_timeout: 5ms, lb_policy: nope",
        more_clusters="- {name: d, type: STATIC, load_assignment: {cluster_name: d, endpoints: [{lb_endpoints: "
        "[{endpoint: {address: {socket_address: {address: a.test, port_value: 1}}}}]}]}}",
    )
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text)
    found = caught.value.faults
    lines = [int(item.location.split(":")[1]) for item in found]
    assert lines == sorted(lines)
    words = "\n".join(map(str, found))
    for expected in (
        "name: expected a string",
        "no field 'prefx'",
        "write 0.005s",
        "lb_policy",
        "'a.test' is not an IP",
    ):
        assert expected in words
    assert str(caught.value) == words


def test_one_mistake_is_one_fault() -> None:
    """What follows from a mistake is not reported on top of it."""
    assert (
        len(
            faults(
                document(kind="type: STATICC", endpoint="address: {socket_address: {address: a.test, port_value: 1}}")
            )
        )
        == 1
    )


def test_a_type_of_another_schema_is_refused_by_name() -> None:
    """Envoy takes `TypedStruct` for any extension; it says nothing of the type that is meant."""
    text = document().replace(HCM, f"{TYPE}xds.type.v3.TypedStruct", 1)
    assert "free-form settings are not supported" in fault(text).message


def test_an_unknown_type_is_told_apart_from_an_unsupported_one() -> None:
    """An `@type` that does not exist gets the nearest; one that Envoy knows is named as not supported yet."""
    misspelt = HCM.replace("HttpConnectionManager", "HttpConectionManager")
    unknown = fault(document().replace(HCM, misspelt))
    assert "unknown type" in unknown.message
    assert unknown.help == f"did you mean {HCM}?"
    assert unknown.path == f"{MANAGER}.@type"
    lua = f'{{name: f, typed_config: {{"@type": {TYPE}envoy.extensions.filters.http.lua.v3.Lua}}}}'
    known = fault(document(filters=f"{lua}, {ROUTER}"))
    assert (
        known.message
        == "HTTP filter envoy.filters.http.lua is not supported: it runs code of the policy's own in the proxy"
    )


def test_members_of_a_oneof_exclude_one_another() -> None:
    """Two members of a oneof are an error that names both."""
    found = fault(document(route="cluster: c, cluster_header: x"))
    assert found.message == "cluster and cluster_header exclude one another (cluster_specifier)"


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("", "<text>:1:1", "the document is empty"),
        ("# nothing\n", "<text>:1:1", "the document is empty"),
        ("- a\n- b\n", "<text>:1:1", "an Envoy v3 bootstrap is a mapping, not a list"),
        ("hello", "<text>:1:1", "an Envoy v3 bootstrap is a mapping, not 'hello'"),
        ("a: ]", "<text>:1:4", "not YAML"),
        ("a: *b", "<text>:1:4", "alias *b has no anchor"),
        ("a: &b [*b]", "<text>:1:8", "alias *b contains itself"),
        ("[a]: 1", "<text>:1:1", "a key of a mapping must be a scalar"),
    ],
)
def test_what_is_no_bootstrap_is_refused_with_its_place(text: str, location: str, message: str) -> None:
    """A document that is no mapping, or no YAML, is refused with line and column."""
    found = fault(text)
    assert found.location == location
    assert message in found.message


def test_other_dialects_are_named() -> None:
    """Ambassador's and Kubernetes' resources are recognised as what they are."""
    ours = fault("apiVersion: getambassador.io/v3alpha1\nkind: Mapping\n")
    assert ours.location == "<text>:1:1"
    assert "Ambassador" in ours.message
    assert "not supported yet" in ours.message
    assert "Kubernetes" in fault("kind: Service\napiVersion: v1\n").message


def test_a_missing_file_is_a_policy_error(tmp_path: Path) -> None:
    """A file that is not there is a `PolicyError` too, which is also a `ValueError`."""
    path = tmp_path / "envoy.yaml"
    with pytest.raises(PolicyError, match="No such file") as caught:
        Policy.load(path)
    assert caught.value.faults[0].location == f"{path}:1:1"
    assert isinstance(caught.value, (AmbassadorError, ValueError))


def test_a_directory_and_bytes_are_policy_errors(tmp_path: Path) -> None:
    """What cannot be read as text is refused."""
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="not UTF-8"):
        Policy.load(tmp_path / "a.yaml")


def test_a_parsed_document_has_paths_without_lines() -> None:
    """Faults of a parsed document name their source and the field's path."""
    found = fault({"static_resources": {"clusters": [{"name": "c", "connect_timeout": "1ms"}]}})
    assert found.location == "<dict>"
    assert found.path == "static_resources.clusters[0].connect_timeout"
    assert fault({"admn": {}}, source="settings").location == "settings"
    assert fault({"node": {"id": object()}}).path == "node.id"
    assert fault({"node": {"id": object()}}).message.startswith("an object cannot stand in a policy")


def test_a_document_without_end_is_refused() -> None:
    """Nesting is bounded, also where a parsed document contains itself."""
    assert "nested more than 100 levels deep" in fault("[" * 5000).message
    endless: dict[str, object] = {}
    endless["node"] = endless
    assert "nested more than 100 levels deep" in fault(endless).message


def test_a_refused_field_does_not_hide_what_else_is_wrong() -> None:
    """What is not supported yet is reported beside the mistakes around it."""
    text = document(
        cluster="original_dst_lb_config: {}", endpoint="address: {socket_address: {address: a.test, port_value: 1}}"
    )
    assert [item.path.rpartition(".")[2] for item in faults(text)] == ["original_dst_lb_config", "address"]
