"""Configurations refuse what they do not know, by name and value."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from slapkit.config import Config, coerce, nearest, require
from slapkit.errors import ConfigError, SlapkitError


@dataclass(frozen=True)
class Leaf(Config):
    width: int = 4
    rate: float = 0.5

    def check(self) -> None:
        require(self.width > 0, "width", self.width, "a positive width")


@dataclass(frozen=True)
class Tree(Config):
    leaf: Leaf = field(default_factory=Leaf)
    kind: Literal["oak", "pine"] = "oak"
    name: str = "tree"
    tall: bool = False
    heights: tuple[int, ...] = (1, 2)
    names: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    age: int | None = None


@dataclass(frozen=True)
class Forest(Config):
    tree: Tree
    count: int = 1


def test_defaults_and_plain_values_survive_json():
    forest = Forest(tree=Tree(leaf=Leaf(width=7), heights=(3, 4), names=["a"], extra={"x": [1]}, age=9))
    again = Forest.from_dict(json.loads(json.dumps(forest.to_dict())))
    assert again == forest
    assert isinstance(again.tree.leaf, Leaf) and again.tree.heights == (3, 4)


def test_a_configuration_cannot_be_changed_but_copied_with_changes():
    leaf = Leaf()
    with pytest.raises(dataclasses.FrozenInstanceError):
        leaf.width = 5
    assert leaf.replace(width=5) == Leaf(width=5) and leaf.width == 4
    with pytest.raises(ConfigError, match="width=0"):
        leaf.replace(width=0)
    with pytest.raises(ConfigError, match="'widht'.*did you mean 'width'"):
        leaf.replace(widht=5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tree": {}, "cuont": 2}, "Forest has no key 'cuont': did you mean 'count'"),
        ({"tree": {"heigths": []}}, "tree has no key 'heigths': did you mean 'heights'"),
        ({"tree": {"leaf": {"wdth": 2}}}, "leaf has no key 'wdth': did you mean 'width'"),
        ({"tree": {"leaf": {"zzz": 2}}}, "leaf has no key 'zzz': known: rate, width"),
        ({"tree": {3: 2}}, "tree has no key 3"),
    ],
)
def test_unknown_keys_are_refused_at_every_level_with_the_nearest_name(values, words):
    with pytest.raises(ConfigError, match=words):
        Forest.from_dict(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": 3}, "name=3 must be of type str, not int"),
        ({"tall": 1}, "tall=1 must be of type bool, not int"),
        ({"tall": "yes"}, "tall='yes' must be of type bool"),
        ({"age": 2.0}, "age=2.0 must be of type int, not float"),
        ({"age": "2"}, "age='2' must be of type int, not str"),
        ({"age": True}, "age=True must be of type int"),
        ({"kind": "aok"}, "kind='aok' is not a choice: did you mean 'oak'"),
        ({"kind": None}, "kind=None is not a choice"),
        ({"heights": 3}, "heights=3 must be a list"),
        ({"heights": "12"}, "heights='12' must be a list"),
        ({"heights": [1, "2"]}, r"heights\[1\]='2' must be of type int"),
        ({"names": [None]}, r"names\[0\]=None must be of type str"),
        ({"extra": [1]}, r"extra=\[1\] must be of type dict"),
        ({"leaf": {"width": "4"}}, "width='4' must be of type int"),
        ({"leaf": {"rate": True}}, "rate=True must be of type float"),
        ({"leaf": {"rate": "0.1"}}, "rate='0.1' must be of type float, not str"),
        ({"leaf": {"rate": None}}, "rate=None must be of type float"),
        ({"leaf": {"rate": float("nan")}}, "rate=nan"),
        ({"leaf": {"rate": float("inf")}}, "rate=inf"),
        ({"leaf": {"width": -1}}, "width=-1 is out of range: expected a positive width"),
        ({"leaf": 4}, "leaf must be a mapping, not 4"),
        ({"leaf": None}, "leaf must be a mapping, not None"),
    ],
)
def test_wrong_values_are_refused_by_key_and_value(values, words):
    with pytest.raises(ConfigError, match=words):
        Tree.from_dict(values)
    with pytest.raises(ConfigError, match=words):
        Tree(**values)


def test_an_integer_is_a_float_and_nothing_else_is_converted():
    assert isinstance(Leaf(rate=1).rate, float)
    assert Tree(age=None).age is None and Tree(age=3).age == 3
    assert Tree(heights=[1, 2, 3]).heights == (1, 2, 3)
    assert Tree(names=("a",)).names == ["a"]
    assert coerce({"a": 1}, Any, "x") == {"a": 1}


@pytest.mark.parametrize("values", [{}, {"count": 3}])
def test_a_missing_key_is_named(values):
    with pytest.raises(ConfigError, match="Forest.*'tree'"):
        Forest.from_dict(values)


@pytest.mark.parametrize("values", [None, 3, [("width", 3)], "width=3"])
def test_only_mappings_are_configurations(values):
    with pytest.raises(ConfigError, match="Leaf must be a mapping"):
        Leaf.from_dict(values)


def test_a_configuration_of_another_class_is_refused():
    with pytest.raises(ConfigError, match="leaf"):
        Tree(leaf=Tree())


def test_two_instances_share_no_mutable_default():
    one, other = Tree(), Tree()
    one.extra["x"] = 1
    one.names.append("a")
    assert (other.extra, other.names) == ({}, [])


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("objectve", ["objective", "steps"], "did you mean 'objective'?"),
        ("qqq", ["b", "a"], "known: a, b"),
        ("qqq", [], "known: none"),
    ],
)
def test_nearest_name(name, known, hint):
    assert nearest(name, known) == hint


def test_require_names_key_value_and_expectation():
    require(True, "key", 1, "anything")
    with pytest.raises(ConfigError, match="key=1 is out of range: expected two"):
        require(False, "key", 1, "two")


def test_configuration_errors_are_ours_and_value_errors():
    assert issubclass(ConfigError, SlapkitError) and issubclass(ConfigError, ValueError)
