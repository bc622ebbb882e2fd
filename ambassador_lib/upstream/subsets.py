"""Balancing within subsets of the hosts (`Cluster.lb_subset_config`; semantics 7).

Each selector's keys make a subset of every combination of values that hosts' metadata `envoy.lb` have. A route's
`metadata_match` names its subset; whatever health says, what counts is whether the subset has hosts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..algorithms.labels import Wanted, comparable, matches, wanted_labels
from .host import Host
from .lb_context import LbContext
from .pickers import Picker, nobody

if TYPE_CHECKING:
    from ..policy.model.balancing import LbSubsetConfig

Make = Callable[[Sequence[Host], object], Picker]
"""Makes the picker of some of the hosts; the second argument names them for turns that outlive a snapshot."""

_FALLBACK_LIST = "fallback_list"


class Subsets:
    """A cluster's subset configuration."""

    def __init__(self, config: LbSubsetConfig) -> None:
        self._config = config
        self._selectors = {tuple(sorted(selector.keys)): selector for selector in reversed(config.subset_selectors)}
        self._default = wanted_labels(config.default_subset)

    def picker(self, hosts: Sequence[Host], make: Make) -> Picker:
        """Return the picker for the present hosts; `make` is the cluster's own load balancer."""
        subsets = {name: self._picker_of(name, inside, make) for name, inside in self._divided(hosts).items()}
        fallbacks = _Fallbacks(self._config.fallback_policy, hosts, self._defaults(hosts), make)
        panic_any = self._config.panic_mode_any

        def pick(context: LbContext) -> Host | None:
            criteria = context.criteria
            if criteria is not None:
                subset = subsets.get(tuple((key, comparable(value)) for key, value in criteria))
                if subset is not None:
                    return subset(context)
                selector = self._selectors.get(tuple(key for key, _ in criteria))
                if selector is not None and selector.fallback_policy != "NOT_DEFINED":
                    if selector.fallback_policy == "KEYS_SUBSET":
                        kept = tuple(item for item in criteria if item[0] in selector.fallback_keys_subset)
                        return pick(context.with_criteria(kept))
                    return fallbacks.named(selector.fallback_policy)(context)
            host = fallbacks.own(context)
            if host is None and panic_any and self._config.fallback_policy != "NO_FALLBACK":
                host = fallbacks.named("ANY_ENDPOINT")(context)
            return host

        def pick_first(context: LbContext | None) -> Host | None:
            return pick(context or LbContext())

        return self._by_fallback_list(pick) if self._config.metadata_fallback_policy == "FALLBACK_LIST" else pick_first

    def _by_fallback_list(self, pick: Callable[[LbContext], Host | None]) -> Picker:
        """`fallback_list` among a route's criteria: the first of its items that finds a host replaces the others."""

        def pick_listed(context: LbContext | None) -> Host | None:
            context = context or LbContext()
            criteria = context.criteria or ()
            listed = next((value for key, value in criteria if key == _FALLBACK_LIST), None)
            if not isinstance(listed, (tuple, list)):
                return pick(context)
            own = {key: value for key, value in criteria if key != _FALLBACK_LIST}
            if not listed:
                return pick(context.with_criteria(tuple(own.items())))
            for item in listed:
                if isinstance(item, Mapping):
                    merged = tuple(sorted({**own, **item}.items()))
                    host = pick(context.with_criteria(merged))
                    if host is not None:
                        return host
            return None

        return pick_listed

    def _divided(self, hosts: Sequence[Host]) -> dict[Wanted, list[Host]]:
        subsets: dict[Wanted, list[Host]] = {}
        for host in hosts:
            labels = host.labels
            for keys in self._selectors:
                for name in self._names(keys, labels):
                    inside = subsets.setdefault(name, [])
                    if host not in inside:
                        inside.append(host)
        return subsets

    def _names(self, keys: tuple[str, ...], labels: Mapping[str, Any]) -> Iterable[Wanted]:
        """The subsets that a host is in by one selector: none if a key is missing, several for lists of values."""
        if not keys or any(key not in labels for key in keys):
            return ()
        values = (
            [comparable(value) for value in self._values(labels[key])]
            for key in keys
        )  # fmt: skip
        return (tuple(zip(keys, chosen, strict=True)) for chosen in itertools.product(*values))

    def _values(self, value: Any) -> Iterable[Any]:
        return value if self._config.list_as_any and isinstance(value, (tuple, list)) else (value,)

    def _picker_of(self, name: Wanted, inside: Sequence[Host], make: Make) -> Picker:
        if self._selectors[tuple(key for key, _ in name)].single_host_per_subset:
            only = inside[0]  # whatever its health
            return lambda _context: only
        return make(inside, name)

    def _defaults(self, hosts: Sequence[Host]) -> list[Host]:
        return [host for host in hosts if matches(host.labels, self._default, list_as_any=self._config.list_as_any)]


class _Fallbacks:
    """Pickers for requests that have no subset of their own, each made when it is first needed."""

    def __init__(self, policy: str, every: Sequence[Host], default: Sequence[Host], make: Make) -> None:
        self._hosts: dict[str, Sequence[Host]] = {"ANY_ENDPOINT": every, "DEFAULT_SUBSET": default}
        self._make = make
        self._made: dict[str, Picker] = {}
        self.own = self.named(policy)

    def named(self, policy: str) -> Picker:
        made = self._made.get(policy)
        if made is None:
            hosts = self._hosts.get(policy)
            made = self._made[policy] = nobody if hosts is None else self._make(hosts, policy)
        return made
