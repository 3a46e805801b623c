"""The files that describe the project agree with each other, and the set-up repairs only what is its own."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import slapkit
from slapkit import environment

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {
    "pytorch": "torch",
    "pysoundfile": "soundfile",
    "soxr-python": "soxr",
    "matplotlib-base": "matplotlib",
    "python-build": "build",
}


def bounds(lines) -> dict[str, SpecifierSet]:
    needs = [need for need in map(Requirement, lines) if need.name != "slapkit"]  # an extra made of others
    return {canonicalize_name(CONDA_NAMES.get(need.name, need.name)): need.specifier for need in needs}


DECLARED = bounds([*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])])


def test_environment_yml_equals_pyproject():
    spec = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert spec["channels"] == ["conda-forge"]
    pip = next(d["pip"] for d in spec["dependencies"] if isinstance(d, dict))
    assert "--editable ." in pip
    found = bounds([d for d in (*spec["dependencies"], *pip) if isinstance(d, str) and not d.startswith("--")])
    assert found == DECLARED | {"python": SpecifierSet(PROJECT["requires-python"]), "pip": SpecifierSet()}


def test_constraints_hold_every_dependency_inside_its_bounds():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    outside = {n: pinned.get(n) for n, allowed in DECLARED.items() if not allowed.contains(pinned.get(n, "0.0"))}
    assert not outside, "run `make constraints`"
    assert not [v for v in pinned.values() if "+" in v], "a local version fits one machine only"


@pytest.mark.parametrize(
    ("cuda", "needed", "platform", "prefix", "left"),
    [
        ("None", b"libc10_cuda.so", "linux", ".", 0),
        ("'12.8'", b"libc10_cuda.so", "linux", ".", 3),
        ("None", b"libc10.so", "linux", ".", 3),
        ("None", b"libc10_cuda.so", "darwin", ".", 3),
        ("None", b"libc10_cuda.so", "linux", "elsewhere", 3),
    ],
)
def test_repair_removes_a_cuda_extension_beside_cpu_torch_alone(
    tmp_path, monkeypatch, cuda, needed, platform, prefix, left
):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    torch, torchaudio = tmp_path / "torch", tmp_path / "torchaudio"
    torch.mkdir()
    (torchaudio / "lib").mkdir(parents=True)
    (torch / "version.py").write_text(f"cuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n")
    for name in ("_torchaudio.so", "libtorchaudio.so", "torchaudio_prefixctc.so"):
        (torchaudio / "lib" / name).write_bytes(b"\x7fELF" + needed)
    (torchaudio / "lib" / "__init__.py").touch()
    for said in ("libtorchaudio.so" if not left else "", ""):
        assert said in environment.repair_torchaudio(torch, torchaudio, platform=platform)
    assert len(list((torchaudio / "lib").glob("*.so"))) == left and (torchaudio / "lib" / "__init__.py").exists()


def test_everything_imported_is_declared():
    names, owners = set(), packages_distributions()
    for path in (ROOT / "slapkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    apart = {"tinysoundfont"}  # not needed, and installed without its dependencies: see the Makefile
    for name in names - set(sys.stdlib_module_names) - {"slapkit"} - apart:
        assert any(canonicalize_name(owner) in DECLARED for owner in owners[name]), f"{name} is not in pyproject.toml"


def test_changelog_citation_and_workflows_say_what_is_true():
    version = slapkit.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version and citation["license"] == PROJECT["license"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        assert all(f"\n{line.split()[1]}:" in makefile for line in commands if line.startswith("make ")), path
        assert all((ROOT / line).is_file() for line in commands if line.startswith(".ci/")), path
