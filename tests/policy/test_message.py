"""How the model's classes behave: as frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy.messages import CLASSES
from ambassador_lib.policy.model import DataSource, NotHealthCheckFilter, Pipe, Route, RouteMatch, SocketAddress
from ambassador_lib.policy.model.core import NOTHING
from ambassador_lib.policy.model.message import FEW, message, names_of, required_of, values_of


@message
class Pair:
    """Two numbers, of which one is not shown."""

    left: int
    right: int = dataclasses.field(default=2, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The same, as `dataclasses` makes it."""

    left: int
    right: int = dataclasses.field(default=2, repr=False)


def test_it_is_what_dataclass_makes() -> None:
    """Slots, fields, signature, text and equality are those of a frozen dataclass that takes keywords only."""
    ours, theirs = Pair(left=1), Written(left=1)
    assert repr(ours) == repr(theirs).replace("Written", "Pair") == "Pair(left=1)"
    assert Pair.__slots__ == Written.__slots__
    assert not hasattr(ours, "__dict__")
    assert [(one.name, one.default, one.kw_only) for one in dataclasses.fields(Pair)] == [
        (one.name, one.default, one.kw_only) for one in dataclasses.fields(Written)
    ]
    parameters = inspect.signature(Pair).parameters
    assert list(parameters.values()) == list(inspect.signature(Written).parameters.values())
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs) == {"left": 1, "right": 2}


def test_objects_are_equal_by_class_and_values() -> None:
    """Equality and hash go by the values of one class; without fields all objects of a class are equal."""
    assert Pair(left=1) == Pair(left=1, right=2) != Pair(left=1, right=3)
    assert hash(Pair(left=1)) == hash(Pair(left=1, right=2))
    assert Pair(left=1) != Written(left=1)
    assert NotHealthCheckFilter() == NotHealthCheckFilter()
    assert len({NotHealthCheckFilter(), NotHealthCheckFilter()}) == 1
    assert DataSource(filename="x") != SocketAddress(address="x")


@pytest.mark.parametrize("change", [lambda one: setattr(one, "left", 3), lambda one: delattr(one, "left")])
def test_nothing_can_be_changed(change: Any) -> None:
    """Setting and deleting fields fails, as does any other attribute."""
    one = Pair(left=1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="left"):
        change(one)
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
    assert one == Pair(left=1)


@pytest.mark.parametrize(
    ("arguments", "keywords", "said"),
    [
        ((), {}, r"Pair\(\) missing 1 required keyword-only argument\(s\): 'left'"),
        ((), {"left": 1, "write": 2}, r"Pair\(\) got an unexpected keyword argument 'write'"),
        ((), {"lift": 1}, r"Pair\(\) got an unexpected keyword argument 'lift'"),
        ((1,), {}, r"Pair\(\) takes keyword arguments only"),
    ],
)
def test_wrong_arguments_are_type_errors(arguments: Any, keywords: Any, said: str) -> None:
    """What is missing, unknown or without a name is said."""
    with pytest.raises(TypeError, match=said):
        Pair(*arguments, **keywords)


def test_copies_keep_no_more_than_what_is_set() -> None:
    """A policy that is copied, or sent to another process, is as large there as it was."""
    route = Route(name="r", match=RouteMatch(prefix="/"))
    for twin in (copy.copy(route), copy.deepcopy(route), pickle.loads(pickle.dumps(route))):
        assert vars(twin).keys() == vars(route).keys() == {"name", "match"}


def set_by(cls: type) -> st.SearchStrategy[dict[str, Any]]:
    """Return values for some of a class's fields, none of which is the class's own."""
    return st.dictionaries(st.sampled_from(list(names_of(cls))), st.tuples(st.just("set"), st.integers()))


@given(st.data())
def test_replace_keeps_no_more_than_what_is_set(data: st.DataObject) -> None:
    """Whatever an object sets, and whatever of it is replaced: the other one sets just that."""
    cls = data.draw(st.sampled_from([cls for cls in CLASSES.values() if len(names_of(cls)) > FEW]))
    before = dict.fromkeys(required_of(cls), ("required",)) | data.draw(set_by(cls))
    changes = data.draw(set_by(cls))
    twin = dataclasses.replace(cls(**before), **changes)
    assert twin == cls(**before | changes)
    assert vars(twin) == before | changes


def test_what_is_set_to_its_default_is_not_kept() -> None:
    """It is the class's all the same."""
    assert vars(Route(match=RouteMatch(prefix="/"), name="", typed_per_filter_config=NOTHING)).keys() == {"match"}


def test_copies_are_equal_and_as_frozen() -> None:
    """Copies by `replace`, `copy` and `pickle` are whole and cannot be changed either."""
    route = Route(match=RouteMatch(prefix="/x"))
    for twin in (copy.copy(route), copy.deepcopy(route), pickle.loads(pickle.dumps(route)), dataclasses.replace(route)):
        assert twin == route
        with pytest.raises(dataclasses.FrozenInstanceError):
            twin.match = RouteMatch(prefix="/")
    assert dataclasses.replace(route, name="r") == Route(match=RouteMatch(prefix="/x"), name="r")


def test_objects_share_what_they_do_not_set() -> None:
    """A mapping that nobody set is one and the same in all objects."""
    assert Route(match=RouteMatch(prefix="/")).typed_per_filter_config is NOTHING


def test_what_is_not_set_takes_no_memory() -> None:
    """Of a message with many fields an object keeps those that were given, and takes no others."""
    route = Route(match=RouteMatch(prefix="/"))
    assert vars(route) == {"match": RouteMatch(prefix="/")}
    assert not hasattr(Route, "__weakref__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        route.name = "r"  # type: ignore[misc]
    assert route.name == ""


def test_values_come_in_the_order_of_the_fields() -> None:
    """`values_of` gives all values, set or not, of one field and of none as well."""
    assert values_of(Pair(left=1)) == (1, 2)
    assert values_of(Pipe(path="/x")) == ("/x",)
    assert values_of(NotHealthCheckFilter()) == ()
    assert values_of(Route(match=RouteMatch(path="/"))) == tuple(
        getattr(Route(match=RouteMatch(path="/")), one.name) for one in dataclasses.fields(Route)
    )


def test_a_class_is_described_as_dataclasses_do() -> None:
    """`dataclasses` finds fields, and `replace` and `asdict` work, on classes with and without slots."""
    assert dataclasses.is_dataclass(Route)
    assert [one.name for one in dataclasses.fields(Route)] == list(names_of(Route))
    assert dataclasses.asdict(Route(match=RouteMatch(prefix="/"), name="r"))["match"]["prefix"] == "/"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_all_messages_are_made_so(name: str) -> None:
    """Every class of the model has the shared constructor: none brings code of its own for it."""
    assert CLASSES[name].__init__ is Pair.__init__
