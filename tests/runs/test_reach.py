import json
from pathlib import Path

import pytest

import slapkit
from slapkit.runs.reach import code_hash, reached

PACKAGE = Path(slapkit.__file__).parent


@pytest.fixture
def package(tmp_path):
    """A package that is called slapkit, of modules that import each other."""
    files = {
        "__init__.py": "def load():\n    from slapkit.models.inference import go\n",
        "inference.py": "from slapkit import errors\n",
        "errors.py": "",
        "losses.py": "import slapkit.deep.inner\n",
        "deep/__init__.py": "",
        "deep/inner.py": "from .near import x\nfrom ..errors import y\n",
        "deep/near.py": "PLUGIN = 'slapkit.named'\n",
        "named.py": "",
        "widgets.py": "from slapkit import losses\n",
        "runs/__init__.py": "from slapkit.viz import widgets\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(source, package):
    return {path.relative_to(package).as_posix() for path in reached(source, package)}


def test_imports_are_followed_through_modules_functions_and_names(package):
    always = {"__init__.py", "inference.py", "errors.py"}  # slapkit itself loads these on demand
    assert names("import slapkit", package) == always
    deep = {"deep/__init__.py", "deep/inner.py", "deep/near.py", "named.py"}
    assert names("from slapkit.models.losses import anything", package) == always | deep | {"losses.py"}
    assert names("import numpy\nx = 'slapkit is a package'", package) == set()


def test_code_that_only_runs_notebooks_is_left_out_with_what_it_imports(package):
    assert names("from slapkit.runs import run", package) == {"__init__.py", "inference.py", "errors.py"}


def test_a_notebook_counts_by_its_code_cells(package):
    cells = [("markdown", "from slapkit.viz import widgets"), ("code", "%matplotlib inline\n!ls\nimport slapkit.named")]
    notebook = json.dumps({"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]})
    assert "named.py" in names(notebook, package) and "widgets.py" not in names(notebook, package)


def test_training_depends_on_the_losses_and_not_on_the_search_bench():
    source = (PACKAGE.parent / "notebooks" / "02_train.ipynb").read_text(encoding="utf-8")
    found = names(source, PACKAGE)
    assert {"losses.py", "ema.py", "training/loop.py", "metrics/retrieval.py", "audio/frontend.py"} <= found
    assert not any(name.startswith(("widgets/", "library/", "claims/", "runs/")) for name in found), sorted(found)


def test_the_hash_follows_the_content(monkeypatch, package):
    monkeypatch.setattr(slapkit, "__file__", str(package / "__init__.py"))
    before = code_hash("import slapkit.models.losses")
    (package / "widgets.py").write_text("changed = True")
    assert code_hash("import slapkit.models.losses") == before
    (package / "errors.py").write_text("changed = True")
    assert code_hash("import slapkit.models.losses") != before
