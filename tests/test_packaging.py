"""The files that describe the project agree with each other, and the set-up repairs only what is its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from slapkit import environment

ROOT = Path(__file__).parents[1]
# What conda-forge calls otherwise.
CONDA_NAMES = {
    "pytorch": "torch",
    "pysoundfile": "soundfile",
    "soxr-python": "soxr",
    "matplotlib-base": "matplotlib",
}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> dict[str, SpecifierSet]:
    """All requirements of the project, extras included, by canonical name."""
    lines = [*project()["dependencies"]]
    for extra in project()["optional-dependencies"].values():
        lines += extra
    needs = [Requirement(line) for line in lines]
    return {canonicalize_name(need.name): need.specifier for need in needs}


def constraints() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_environment_yml_equals_pyproject():
    spec = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert spec["channels"] == ["conda-forge"]
    names = [d for d in spec["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in spec["dependencies"] if isinstance(d, dict))
    needs = [Requirement(line) for line in [*names, *(p for p in pip if not p.startswith("--"))]]
    found = {canonicalize_name(CONDA_NAMES.get(n.name, n.name)): n.specifier for n in needs}
    assert found.pop("python") == SpecifierSet(project()["requires-python"])
    assert found.pop("pip") == SpecifierSet()
    assert found == declared()
    assert "--editable ." in pip


def test_constraints_hold_every_dependency_inside_its_bounds():
    pinned = constraints()
    for name, bounds in declared().items():
        assert name in pinned, f"constraints.txt lacks {name}: run `make constraints`"
        assert bounds.contains(pinned[name]), f"{name}=={pinned[name]} lies outside {bounds}"
    assert not [v for v in pinned.values() if "+" in v], "a local version fits one machine only"


def test_constraints_hold_what_the_dependencies_need():
    missing = set(environment.closure()) - set(constraints())
    assert not missing, f"constraints.txt lacks {sorted(missing)}: run `make constraints`"


def fake_packages(root: Path, *, cuda: str, needed: bytes) -> tuple[Path, Path]:
    """A torch and a torchaudio folder as pip leaves them, with three extension files."""
    torch, torchaudio = root / "torch", root / "torchaudio"
    (torchaudio / "lib").mkdir(parents=True)
    torch.mkdir()
    (torch / "version.py").write_text(
        "from typing import Optional\n__version__ = '2.13.0'\n"
        f"cuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
    )
    for name in ("_torchaudio", "libtorchaudio", "torchaudio_prefixctc"):
        (torchaudio / "lib" / f"{name}.abi3.so").write_bytes(b"\x7fELF" + needed)
    (torchaudio / "lib" / "__init__.py").touch()
    return torch, torchaudio


@pytest.fixture
def own(monkeypatch, tmp_path):
    monkeypatch.setattr(environment.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(environment.sys, "base_prefix", "/elsewhere")
    return tmp_path


def test_repair_removes_a_cuda_extension_beside_cpu_torch_once(own):
    torch, torchaudio = fake_packages(own, cuda="None", needed=b"libc10_cuda.so")
    assert "libtorchaudio.abi3.so" in environment.repair_torchaudio(torch, torchaudio, platform="linux")
    assert [p.name for p in (torchaudio / "lib").iterdir()] == ["__init__.py"]
    assert ".so" not in environment.repair_torchaudio(torch, torchaudio, platform="linux")


@pytest.mark.parametrize(
    ("cuda", "needed", "platform", "prefix"),
    [
        ("'12.8'", b"libc10_cuda.so", "linux", None),
        ("None", b"libc10.so", "linux", None),
        ("None", b"libc10_cuda.so", "darwin", None),
        ("None", b"libc10_cuda.so", "linux", "/elsewhere"),
    ],
)
def test_repair_leaves_every_other_installation_alone(own, monkeypatch, cuda, needed, platform, prefix):
    torch, torchaudio = fake_packages(own, cuda=cuda, needed=needed)
    if prefix:
        monkeypatch.setattr(environment.sys, "prefix", prefix)
    environment.repair_torchaudio(torch, torchaudio, platform=platform)
    assert len(list((torchaudio / "lib").glob("*.so"))) == 3


@pytest.mark.slow
def test_set_up_compiles_umap_once(tmp_path):
    """The first import writes numba's files, and the next compiles nothing again."""
    command = [sys.executable, "-c", "from slapkit.environment import compile_umap; compile_umap()"]
    kept = []
    for _ in range(2):
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})
        kept.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")})
    assert len(kept[0]) >= 10 and kept[0] == kept[1]


def imported() -> set[str]:
    """Top-level names of everything that the library imports, anywhere in its files."""
    names = set()
    for path in (ROOT / "slapkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"slapkit"}


def test_everything_imported_is_declared():
    owners = packages_distributions()
    for name in sorted(imported()):
        assert any(canonicalize_name(owner) in declared() for owner in owners[name]), f"{name} is not in pyproject.toml"
