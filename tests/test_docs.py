"""Documentation: every name that it mentions exists, and every link leads somewhere."""

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
EXAMPLES = sorted(path for path in ROOT.glob("slapkit/**/*.py") if ">>> " in path.read_text(encoding="utf-8"))
NAME = re.compile(r"\bslapkit(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for name in sorted(set(NAME.findall(text))):
        pkgutil.resolve_name(name)
    for link in LINK.findall(text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("name", ["encoder", "objective"])
def test_the_code_of_a_page_runs(name):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / f"{name}.md").read_text(), re.DOTALL)
    exec(compile(blocks[-1], name, "exec"), {})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_of_docstrings_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@pytest.mark.slow
def test_the_site_is_built_without_the_network_and_needs_none(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(command, cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr  # a link or an anchor that leads nowhere is an error
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    formulas = re.findall(r"<math.*?</math>", (tmp_path / "method" / "index.html").read_text(encoding="utf-8"))
    assert len(pages) >= 30 and len(formulas) >= 50 and not [one for one in formulas if "\\" in one]
    loaded = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]+)")
    assert not {url for page in pages for url in loaded.findall(page) if "canonical" not in url}


def test_a_notebook_is_shown_as_its_newest_finished_run_left_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    hooks = importlib.import_module("hooks")
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    monkeypatch.setattr(hooks, "PAGES", {"notebooks/01_corpus.ipynb": "tutorials/01_corpus.ipynb"})
    monkeypatch.setattr(hooks, "PICTURES", {})
    for age, (name, status) in enumerate(
        (("first", "done"), ("second", "done"), ("third", "failed"), ("now", "running"))
    ):
        folder = tmp_path / "runs" / "01_corpus" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"status": status}))
        (folder / "notebook.ipynb").write_text(json.dumps({"metadata": {"name": name, "widgets": {}}}))
        os.utime(folder / "notebook.ipynb", (age, age))
    hooks.on_files([], SimpleNamespace(site_dir=str(tmp_path / "site"), use_directory_urls=True))
    shown = json.loads((tmp_path / "build" / "docs" / "tutorials" / "01_corpus.ipynb").read_text())
    assert shown["metadata"] == {"name": "second"}
