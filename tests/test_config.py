"""Configurations refuse what they do not know, by name and value."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch

from slapkit.config import Config, nearest, require
from slapkit.errors import ConfigError, short


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


def test_plain_values_survive_json_and_an_integer_is_a_float():
    forest = Forest(Tree(leaf=Leaf(width=7, rate=1), heights=[3, 4], names=("a",), extra={"x": [1]}, age=9))
    assert isinstance(forest.tree.leaf.rate, float) and forest.tree.heights == (3, 4) and forest.tree.names == ["a"]
    again = Forest.from_dict(json.loads(json.dumps(forest.to_dict())))
    assert again == forest and isinstance(again.tree.leaf, Leaf)


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
    ("kind", "values", "words"),
    [
        (Forest, {"tree": {}, "cuont": 2}, "'cuont'.*'count'"),
        (Forest, {"tree": {"leaf": {"wdth": 2}}}, "'wdth'.*'width'"),
        (Forest, {"tree": {"leaf": {"zzz": 2}}}, "'zzz'.*rate, width"),
        (Forest, {"tree": {3: 2}}, "3"),
        (Forest, {"count": 3}, "'tree'"),
        (Forest, {"tree": {"leaf": Tree()}}, "leaf"),
        (Forest, [("count", 3)], "Forest"),
        (Tree, {"name": 3}, "name=3"),
        (Tree, {"tall": 1}, "tall=1"),
        (Tree, {"age": 2.0}, "age=2.0"),
        (Tree, {"age": "2"}, "age='2'"),
        (Tree, {"age": True}, "age=True"),
        (Tree, {"kind": "aok"}, "kind='aok'.*'oak'"),
        (Tree, {"heights": "12"}, "heights='12'"),
        (Tree, {"heights": [1, "2"]}, r"heights\[1\]='2'"),
        (Tree, {"extra": [1]}, r"extra=\[1\]"),
        (Tree, {"leaf": {"rate": True}}, "rate=True"),
        (Tree, {"leaf": {"rate": float("nan")}}, "rate=nan"),
        (Tree, {"leaf": {"rate": -float("inf")}}, "rate=-inf"),
        (Tree, {"leaf": {"rate": 10**400}}, "rate=10000"),
        (Tree, {"leaf": {"width": -1}}, "width=-1"),
    ],
)
def test_unknown_keys_and_wrong_values_are_refused_by_name(kind, values, words):
    with pytest.raises(ConfigError, match=words):
        kind.from_dict(values)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a", "'a'"),
        ("a" * 1000, "'" + "a" * 80 + "'... (1,000 characters)"),
        ([0.5] * 1000, "list of 1,000: [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...]"),
        ({str(i): i for i in range(9)}, "dict of 9: {'0': 0, '1': 1, '2': 2, '3': 3, ...}"),
        ([1, "b"], "[1, 'b']"),
        (np.zeros((2, 3)), "ndarray of shape [2, 3]"),
        (np.float64(0.5), "np.float64(0.5)"),
        (torch.tensor(7), "tensor(7)"),
        (None, "None"),
    ],
)
def test_values_in_messages_are_short(value, said):
    assert short(value) == said


def test_hints_are_short():
    names = [f"name {i}" for i in range(10_000)]
    assert nearest("name 12", names) == "did you mean 'name 12'?"
    assert len(nearest("q" * 1_000_000, names)) < 300 and "(10,000)" in nearest("zzzz", names)
    with pytest.raises(ConfigError) as raised:
        Leaf.from_dict({"width": [1] * 1_000_000})
    assert len(str(raised.value)) < 200
