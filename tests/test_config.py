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
        ({"tree": {}, "cuont": 2}, "'cuont'.*'count'"),
        ({"tree": {"leaf": {"wdth": 2}}}, "'wdth'.*'width'"),
        ({"tree": {"leaf": {"zzz": 2}}}, "'zzz'.*rate, width"),
        ({"tree": {3: 2}}, "3"),
        ({"count": 3}, "'tree'"),
        ({"tree": {"leaf": 4}}, "4"),
        ({"tree": {"leaf": Tree()}}, "leaf"),
        ([("count", 3)], "Forest"),
        (None, "Forest"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_nearest_name(values, words):
    with pytest.raises(ConfigError, match=words):
        Forest.from_dict(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": 3}, "name=3"),
        ({"tall": 1}, "tall=1"),
        ({"age": 2.0}, "age=2.0"),
        ({"age": "2"}, "age='2'"),
        ({"age": True}, "age=True"),
        ({"kind": "aok"}, "kind='aok'.*'oak'"),
        ({"heights": "12"}, "heights='12'"),
        ({"heights": [1, "2"]}, r"heights\[1\]='2'"),
        ({"extra": [1]}, r"extra=\[1\]"),
        ({"leaf": {"rate": True}}, "rate=True"),
        ({"leaf": {"rate": None}}, "rate=None"),
        ({"leaf": {"rate": float("nan")}}, "rate=nan"),
        ({"leaf": {"rate": float("inf")}}, "rate=inf"),
        ({"leaf": {"width": -1}}, "width=-1"),
    ],
)
def test_wrong_values_are_refused_by_key_and_value(values, words):
    for build in (Tree.from_dict, lambda given: Tree(**given)):
        with pytest.raises(ConfigError, match=words):
            build(values)


def test_an_integer_is_a_float_and_nothing_else_is_converted():
    assert isinstance(Leaf(rate=1).rate, float)
    assert Tree(age=None).age is None and Tree(heights=[1, 2, 3]).heights == (1, 2, 3)
    assert Tree(names=("a",)).names == ["a"]
    assert coerce({"a": 1}, Any, "x") == {"a": 1}


def test_two_instances_share_no_mutable_default():
    one, other = Tree(), Tree()
    one.extra["x"] = 1
    assert other.extra == {}


def test_configuration_errors_are_ours_and_value_errors():
    assert issubclass(ConfigError, SlapkitError) and issubclass(ConfigError, ValueError)
    assert nearest("qqq", []) == "known: none"
