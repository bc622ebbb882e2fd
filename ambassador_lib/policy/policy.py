"""`Policy`: what should happen to calls, immutable and with Envoy's names. Reading a file is in loader.py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .policy_warning import PolicyWarning

if TYPE_CHECKING:
    from .model.cluster import Cluster
    from .model.core import FractionalPercent, Node
    from .model.dynamic import ClusterManager, DynamicResources
    from .model.listener import Listener
    from .model.tls import Secret


@dataclass(frozen=True, slots=True, init=False)
class Policy:
    """Listeners, clusters and the runtime values that they refer to.

    Made by `Policy.load("envoy.yaml")`, by `Policy.parse(...)`, or in Python with Envoy's names:
    `Policy(clusters=[Cluster(name="billing", ...)])`. `runtime` maps the keys of the layered runtime's static layers to
    their values. `listeners` and `clusters` are those that are written down; `dynamic_resources` says which files bring
    more, `secrets` are those that TLS settings and filters name. Lists and mappings are taken as tuples and frozen
    mappings, wrong types and values are a
    `PolicyError`. `warnings` do not count when policies are compared.
    """

    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]
    runtime: Mapping[str, bool | int | str | FractionalPercent]
    node: Node | None
    dynamic_resources: DynamicResources | None
    cluster_manager: ClusterManager | None
    secrets: tuple[Secret, ...] = field(repr=False)
    warnings: tuple[PolicyWarning, ...] = field(init=False, compare=False, repr=False)

    def __init__(
        self,
        *,
        listeners: Iterable[Listener] = (),
        clusters: Iterable[Cluster] = (),
        runtime: Mapping[str, bool | int | str | FractionalPercent] | None = None,
        node: Node | None = None,
        dynamic_resources: DynamicResources | None = None,
        secrets: Iterable[Secret] = (),
        cluster_manager: ClusterManager | None = None,
    ) -> None:
        from .loader import check
        from .written import read_written

        parts, places = read_written(listeners, clusters, runtime, node, dynamic_resources, cluster_manager, secrets)
        self._set(*parts, ())
        object.__setattr__(self, "warnings", check(self, places))

    def _set(self, *values: object) -> None:
        names = (
            "listeners", "clusters", "runtime", "node", "dynamic_resources", "cluster_manager", "secrets", "warnings",
        )  # fmt: skip
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    def in_force(self, listeners: tuple[Listener, ...], clusters: tuple[Cluster, ...]) -> Policy:
        """Return this policy with other listeners and clusters, which have been checked already."""
        copy = Policy.__new__(Policy)
        kept = (
            self.runtime, self.node, self.dynamic_resources, self.cluster_manager, self.secrets, self.warnings,
        )  # fmt: skip
        copy._set(listeners, clusters, *kept)  # noqa: SLF001
        return copy

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read an Envoy v3 bootstrap file, YAML or JSON; raise `PolicyError` with everything that is wrong in it."""
        from .loader import load

        return load(path)

    @classmethod
    def parse(cls, document: str | Mapping[str, Any], *, source: str | None = None) -> Policy:
        """Read a document, as text or parsed already; `source` names it in errors."""
        from .loader import parse

        return parse(document, source=source)
