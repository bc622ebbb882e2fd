"""From a file to a policy: read, walk, build, check. Imports YAML, so only policy.py imports it, late."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PolicyError, PolicyFault
from .build import Builder
from .checks import collect
from .dns_adapter import resolution_config
from .findings import Places
from .parsed import ParsedMessage, Place
from .policy import Policy
from .policy_warning import PolicyWarning
from .runtime_layers import read_runtime
from .scalars import kind
from .schema import envoy
from .uncollected import uncollected
from .walk import Walk
from .yaml_nodes import Node, from_file, from_python

if TYPE_CHECKING:
    from .model.dynamic import DynamicResources

_log = logging.getLogger("ambassador_lib.policy")
_BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"
_TEXT_FORMATS = (".pb", ".pb_text", ".pb.txt", ".textproto")


@uncollected()
def load(path: str | os.PathLike[str]) -> Policy:
    """Read a file."""
    name = os.fspath(path)
    if name.endswith(_TEXT_FORMATS):
        raise _error(name, "protobuf text and binary files are not supported", "write it as YAML or JSON")
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(f"{name}:1:1", f"not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise _error(f"{name}:1:1", f"cannot be read: {error.strerror}", _unread_help(name, error)) from None
    warnings: list[PolicyFault] = []
    return _policy(from_file(text, name, strict_json=name.endswith(".json"), warnings=warnings), warnings)


def _unread_help(name: str, error: OSError) -> str:
    if "\n" in name or ": " in name or name.lstrip().startswith("{"):
        return "this looks like a policy's text, not its file's name: use Policy.parse(text)"
    return f"looked in {Path.cwd()}" if isinstance(error, FileNotFoundError) and not Path(name).is_absolute() else ""


@uncollected()
def parse(document: str | Mapping[str, Any], *, source: str | None = None) -> Policy:
    """Read a document."""
    if isinstance(document, str):
        warnings: list[PolicyFault] = []
        return _policy(from_file(document, source or "<text>", warnings=warnings), warnings)
    return _policy(from_python(document, source or "<dict>"), [])


def check(policy: Policy, places: Places) -> tuple[PolicyWarning, ...]:
    """Check a policy that was written in Python; return its warnings, or raise `PolicyError`."""
    found = collect(policy, places)
    if found.faults:
        raise PolicyError(list(dict.fromkeys(found.faults)))
    return tuple(map(_warning, dict.fromkeys(found.warnings)))


def _policy(root: Node, warnings: list[PolicyFault]) -> Policy:
    _refuse_what_is_no_bootstrap(root)
    walk = Walk(envoy())
    bootstrap = walk.document(root, _BOOTSTRAP)
    builder = Builder()
    resources = bootstrap.get("static_resources") or ParsedMessage("", bootstrap.place)
    listeners = _built(builder, resources, "listeners")
    clusters = _with_default_resolver(builder, bootstrap, _built(builder, resources, "clusters"))
    runtime = read_runtime(builder, bootstrap)
    node = builder.build(bootstrap.get("node")) if bootstrap.get("node") is not None else None
    dynamic = _dynamic_resources(builder, bootstrap)
    manager = builder.build(bootstrap.get("cluster_manager")) if bootstrap.get("cluster_manager") is not None else None
    parts = (listeners, clusters, runtime, node, dynamic, manager, _built(builder, resources, "secrets"))
    policy = Policy.__new__(Policy)
    policy._set(*parts, ())  # noqa: SLF001 - the checks below know places, __init__'s do not
    found = collect(policy, builder.places)
    faults = [*walk.faults, *builder.faults, *found.faults]
    if faults:
        raise PolicyError(_in_order(faults))
    warnings = _in_order([*warnings, *walk.warnings, *builder.warnings, *found.warnings])
    policy._set(*parts, tuple(map(_warning, warnings)))  # noqa: SLF001
    for warning in policy.warnings:
        _log.warning("%s", warning)
    return policy


def _refuse_what_is_no_bootstrap(root: Node) -> None:
    if root.value is None:
        raise _error(root.at, "the document is empty", "an Envoy v3 bootstrap has static_resources")
    if not isinstance(root.value, dict):
        raise _error(root.at, f"an Envoy v3 bootstrap is a mapping, not {kind(root.value)}")
    version = root.value.get("apiVersion")
    if version is None:
        return
    if isinstance(version.value, str) and version.value.startswith("getambassador.io/"):
        dialect = "an Ambassador (Emissary-ingress) resource"
    else:
        dialect = "a Kubernetes resource"
    message = f"this is {dialect}, another dialect, which is not supported yet"
    raise PolicyError([PolicyFault(version.key_at, "apiVersion", message, "give an Envoy v3 bootstrap")])


def _built(builder: Builder, resources: ParsedMessage, name: str) -> tuple[Any, ...]:
    value = resources.fields.get(name)
    return builder.value(value) if value is not None else ()


def _dynamic_resources(builder: Builder, bootstrap: ParsedMessage) -> DynamicResources | None:
    parsed = bootstrap.get("dynamic_resources")
    found: DynamicResources | None = None if parsed is None else builder.build(parsed)
    if found is None or (found.cds_config is None and found.lds_config is None):
        return None
    config = resolution_config(builder, bootstrap)
    changed: DynamicResources = builder.replace(found, dns_resolution_config=config) if config is not None else found
    return changed


def _with_default_resolver(builder: Builder, bootstrap: ParsedMessage, clusters: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give the bootstrap's DNS settings to the clusters that have none."""
    config = resolution_config(builder, bootstrap)
    if config is None:
        return clusters
    return tuple(
        builder.replace(cluster, dns_resolution_config=config) if cluster.dns_resolution_config is None else cluster
        for cluster in clusters
    )


def _in_order(faults: list[PolicyFault]) -> list[PolicyFault]:
    def key(fault: PolicyFault) -> tuple[int, int]:
        parts = fault.location.rsplit(":", 2)
        return (int(parts[1]), int(parts[2])) if len(parts) == 3 and parts[2].isdigit() else (0, 0)

    return sorted(dict.fromkeys(faults), key=key)


def _warning(fault: PolicyFault) -> PolicyWarning:
    return PolicyWarning(fault.location, fault.path, fault.message)


def _error(at: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([Place(at, "").fault(message, hint)])
