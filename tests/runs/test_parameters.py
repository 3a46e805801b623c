"""The parameters cell read as a signature, and what is refused before anything runs."""

import nbformat
import pytest

from slapkit.errors import ConfigError
from slapkit.runs.parameters import notebook_parameters, resolve


def notebook(source):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# x"), cell])


SOURCE = """\
# What is trained.
objective: str = "slap"  # one of slap, clap, siglip: the loss
steps: int | None = None  # optimiser steps
tau: float = 0.95  # share # kept
flags: list[str] = []  # switches
width: int | None = 2  # one of 2, 3: dimensions
plain = 3  # not annotated
run_dir: str | None = None  # set by the runner
"""


@pytest.fixture
def declared():
    return notebook_parameters(notebook(SOURCE), "nb")


def test_types_defaults_comments_and_choices_are_read(declared):
    assert list(declared) == ["objective", "steps", "tau", "flags", "width", "plain", "run_dir"]
    assert declared["objective"].choices == ("slap", "clap", "siglip")
    assert declared["steps"].type_name == "int | None" and declared["steps"].default is None
    assert declared["tau"].comment == "share # kept"
    assert declared["plain"].kind is int


def test_given_values_are_checked_and_the_rest_keeps_its_default(declared):
    values = resolve(declared, {"steps": 5, "tau": 1}, "nb")
    assert values["steps"] == 5 and values["objective"] == "slap" and "run_dir" not in values
    assert isinstance(values["tau"], float)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"setps": 5}, "'setps'.*'steps'"),
        ({"steps": "5"}, "steps='5'"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"tau": True}, "tau=True"),
        ({"tau": None}, "tau=None"),
        ({"objective": "clp"}, "'clp'.*'clap'"),
        ({"flags": "a"}, "flags='a'"),
        ({"width": 4}, "width=4"),
        ({"run_dir": "x"}, "run_dir"),
    ],
)
def test_what_does_not_fit_is_refused_with_name_and_value(declared, given, said):
    with pytest.raises(ConfigError, match=said):
        resolve(declared, given, "nb")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "300", 300),
        ("steps", "none", None),
        ("tau", "0.5", 0.5),
        ("tau", "1e-3", 1e-3),
        ("objective", "clap", "clap"),
        ("flags", '["a", "b"]', ["a", "b"]),
        ("width", "3", 3),
        ("width", "null", None),
    ],
)
def test_shell_texts_become_values(declared, name, text, value):
    assert declared[name].parse(text) == value


@pytest.mark.parametrize(
    "source",
    [
        "steps = 1 + x",
        "import os",
        "steps: Path = None",
        "%matplotlib inline",
        "steps: int = 'a'",
        "a, b = 1, 2",
        "steps: dict = {[]: 1}",
        "steps: int = 4  # one of 2, 3",
    ],  # fmt: skip
)
def test_a_cell_that_is_no_signature_is_refused(source):
    with pytest.raises(ConfigError):
        notebook_parameters(notebook(source), "nb")
