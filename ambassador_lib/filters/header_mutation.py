"""The header mutation filter: changes headers and query parameters on the way down, headers on the way up.

Source: `envoy.extensions.filters.http.header_mutation.v3.HeaderMutation`; semantics 9.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..algorithms import query_parameters
from ..call import Answer, Call, Next
from ..policy.model import filters as model
from ..routing import mutations as routing
from ..routing.changes import compile_change
from ..routing.format import Render, compile_value
from .base import FilterContext, Layer, Reply, Scope

if TYPE_CHECKING:
    from ..runtime.base import Clock


class HeaderMutation:
    """The filter of one listener."""

    def __init__(self, config: model.HeaderMutation, context: FilterContext) -> None:
        self._clock = context.clock
        self._specific_last = config.most_specific_header_mutations_wins
        self._own = Mutations(config.mutations, context.clock)

    def prepare(self, config: model.HeaderMutationPerRoute) -> Mutations:
        """Compile what one level adds."""
        return Mutations(config.mutations, self._clock)

    def layer(self, scope: Scope, settings: Sequence[Mutations]) -> Layer:  # noqa: ARG002 - the same for every route
        """All levels count, after the filter's own."""
        levels = [self._own, *(settings if self._specific_last else reversed(settings))]
        down = [level for level in levels if level.request or level.query]
        up = [level for level in levels if level.response]
        respond = _Up(up).respond if up else None
        if not down:
            return Layer(respond=respond)
        changes = _Down(down)
        return Layer(handle=changes.handle, respond=respond, change=changes.change)


class Mutations:
    """What one level changes, compiled."""

    def __init__(self, mutations: model.Mutations | None, clock: Clock) -> None:
        mutations = mutations or model.Mutations()
        self.request = [compile_change(one, clock, routing.compile_request) for one in mutations.request_mutations]
        self.response = [compile_change(one, clock, routing.compile_response) for one in mutations.response_mutations]
        self.query = [_query_change(one, clock) for one in mutations.query_parameter_mutations]


class _Down:
    def __init__(self, levels: Sequence[Mutations]) -> None:
        self._levels = levels

    def handle(self, call: Call, next: Next) -> Answer:
        self.change(call)
        return next(call)

    def change(self, call: Call) -> None:
        for level in self._levels:
            for change in level.request:
                change(call.headers, call, 0)
            if level.query:
                parameters = query_parameters.parse(call.target)
                for change_query in level.query:
                    change_query(parameters, call)
                call.target = query_parameters.replace(call.target, parameters)


class _Up:
    def __init__(self, levels: Iterable[Mutations]) -> None:
        self._changes = [change for level in levels for change in level.response]

    def respond(self, call: Call, reply: Reply) -> None:
        for change in self._changes:
            change(reply.headers, call, reply.status)


def _query_change(
    mutation: model.KeyValueMutation, clock: Clock
) -> Callable[[query_parameters.Parameters, Call], None]:
    if mutation.append is None or mutation.append.record is None:
        removed = mutation.remove.encode().decode("latin-1")

        def remove(parameters: query_parameters.Parameters, _call: Call) -> None:
            parameters.pop(removed, None)

        return remove
    key = mutation.append.record.key.encode().decode("latin-1")
    compiled = compile_value(mutation.append.record.value, clock)
    render: Render = compiled if callable(compiled) else (lambda _call, _status, _response: compiled)
    action = mutation.append.action

    def add(parameters: query_parameters.Parameters, call: Call) -> None:
        exists = key in parameters
        if (action == "ADD_IF_ABSENT" and exists) or (action == "OVERWRITE_IF_EXISTS" and not exists):
            return
        value = query_parameters.encode(render(call, 0, ()))
        if action.startswith("OVERWRITE"):
            parameters[key] = [value]
        else:
            parameters.setdefault(key, []).append(value)

    return add
