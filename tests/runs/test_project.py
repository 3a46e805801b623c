"""A new project: what `slapkit new` writes, from a clone and from an installed wheel."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import nbformat
import pytest

from slapkit.cli import main
from slapkit.errors import ConfigError, MissingExtraError, need_extra
from slapkit.runs.parameters import notebook_parameters, read_parameters, resolve

ROOT = Path(__file__).parents[2]
SMOKE = {"steps": 6, "batch_size": 16, "micro_batch": 8, "device": "cpu", "seeds": 1, "preset": "tiny"}


def files(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_new_writes_a_project_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my bench"]) == 0 and "cd 'my bench'" in capsys.readouterr().out
    made = tmp_path / "my bench"
    assert set(files(made)) >= {"README.md", "02_train.yml", "data/README.md"} | {
        f"notebooks/{p.name}" for p in (ROOT / "notebooks").glob("*.ipynb")
    }
    node = nbformat.read(made / "notebooks" / "02_train.ipynb", as_version=4)
    declared = notebook_parameters(node)
    assert resolve(declared, read_parameters(made / "02_train.yml"), "02_train") == resolve(declared, {}, "02_train")
    (made / "README.md").write_text("mine")
    assert main(["new", "my bench"]) == 1 and "is there already" in capsys.readouterr().err
    assert (made / "README.md").read_text() == "mine"


def test_a_file_of_parameters_has_numbers_as_python_writes_them_and_dates_as_text(tmp_path):
    (tmp_path / "p.yml").write_text(f"lr: {1e-05!r}\ntau: 1E3\nlam: -.5e+1\nwords: 2026-01-01\nname: e5\n")
    found = read_parameters(tmp_path / "p.yml")
    assert found == {"lr": 1e-05, "tau": 1000.0, "lam": -5.0, "words": "2026-01-01", "name": "e5"}


@pytest.mark.parametrize("text", ["a: [1", "- a", "1: 2", ""])
def test_a_file_of_no_parameters_is_refused(tmp_path, text):
    (tmp_path / "p.yml").write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yml"):
        read_parameters(tmp_path / "p.yml")


def test_a_missing_extra_names_its_installation():
    need_extra("search", "tinytag")
    with pytest.raises(MissingExtraError, match=r"pip install 'slapkit\[corpus\]'"):
        need_extra("corpus", "not_there_at_all")


def test_models_search_and_data_need_no_extra_but_their_own():
    """Embedding on a server: what the extras bring is hidden, and each part says which extra it needs."""
    code = """
import importlib.util, sys
hidden = {*"jupyterlab ipykernel IPython ipywidgets anywidget traitlets papermill nbclient nbconvert nbformat".split(),
          *"jupyter_client jinja2 plotly matplotlib umap music21 verovio symusic pretty_midi midirenderer".split(),
          *"onnx onnxruntime onnxscript datasets pymilvus".split()}
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in hidden else real(name, *rest)
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hide())
import slapkit.hub.load, slapkit.hub.embed, slapkit.hub.doctor, slapkit.hub.tagger, slapkit.training, slapkit.search
from slapkit.cli import main
assert main(["runs"]) == 1 and main(["corpus"]) == 1
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "slapkit[notebooks]" in done.stderr and "slapkit[corpus]" in done.stderr


@pytest.mark.slow
def test_the_wheel_brings_a_project_that_runs(smoke_corpus, tmp_path):
    source = tmp_path / "source"
    for name in ("slapkit", "notebooks", "data/figures"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in (*(p for p in ROOT.iterdir() if p.is_file()), ROOT / "data" / "README.md"):
        shutil.copyfile(path, source / path.relative_to(ROOT))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)  # the wheel is built from the sdist
    [sdist], [wheel] = ((tmp_path / "dist").glob(f"*{end}") for end in (".tar.gz", ".whl"))
    with tarfile.open(sdist) as packed:
        assert any(name.endswith("notebooks/05_claims.ipynb") for name in packed.getnames())

    # An environment of its own which sees the packages of this one, but not this clone.
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    own = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")})
    Path(own, "others.pth").write_text(sysconfig.get_path("purelib"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    # The clone, installed for editing, is among the packages that are seen.
    command += ["--ignore-installed", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=env, cwd=tmp_path)

    def slapkit(*words, cwd=tmp_path):
        given = {"cwd": cwd, "env": env, "capture_output": True, "text": True, "timeout": 400}
        done = subprocess.run([str(python.parent / "slapkit"), *map(str, words)], **given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    slapkit("new", "my-bench")
    project = tmp_path / "my-bench"
    shutil.copytree(smoke_corpus, project / "data" / smoke_corpus.name)
    values = [word for name, value in SMOKE.items() for word in ("-p", f"{name}={value}")]
    slapkit("run", "02_train", "--quiet", "-f", "02_train.yml", "-p", "data=data/scores-smoke", *values, cwd=project)
    [run] = (project / "runs" / "02_train").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done" and record["parameters"]["objective"] == "slap"
    slapkit("library", "data/scores-smoke", "--model", run, "--out", "library", "--quiet", cwd=project)
    lines = slapkit("search", "library", "slow flute", "-k", 3, "--json", cwd=project).splitlines()
    assert len(lines) == 3 and all("score_percentile" in json.loads(line) for line in lines)
