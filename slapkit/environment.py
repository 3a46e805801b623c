"""Set-up of the project's own environment: `python -m slapkit.environment` repairs torchaudio and compiles UMAP.

On Linux the torchaudio wheel holds an extension linked to CUDA; beside a CPU-only torch `import torchaudio` fails on it
(`libc10_cuda.so: cannot open shared object file`). slapkit uses only what is pure Python in torchaudio, so the
extension is removed: only in an environment of its own, on Linux, where torch has neither CUDA nor ROCm.

UMAP's neighbour search is compiled at its first import, which takes a dozen seconds. `--constraints` prints the
installed versions of all that slapkit needs, in the form of constraints.txt.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import warnings
from importlib import metadata
from pathlib import Path

CUDA_MARKS = (b"libc10_cuda", b"libcudart", b"libtorch_cuda")


def torch_accelerator(torch_folder: Path) -> str | None:
    """Return what torch was built for ("cuda 12.8", "hip 6.4"), None for CPU only. It is read, not imported."""
    text = (torch_folder / "version.py").read_text()
    match = re.search(r"""^(cuda|hip|xpu)\b[^=\n]*=\s*['"](.+?)['"]""", text, re.MULTILINE)
    return f"{match[1]} {match[2]}" if match else None


def own_environment(folder: Path) -> bool:
    """Say whether `folder` lies in a virtual or conda environment that runs this interpreter."""
    isolated = sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()
    return isolated and folder.resolve().is_relative_to(Path(sys.prefix).resolve())


def cuda_extension(torchaudio_folder: Path) -> list[Path]:
    """Return the torchaudio extension's files if any of them is linked to CUDA, else nothing."""
    files = sorted((torchaudio_folder / "lib").glob("*.so"))
    linked = any(mark in path.read_bytes() for path in files for mark in CUDA_MARKS)
    return files if linked else []


def repair_torchaudio(torch_folder: Path, torchaudio_folder: Path, *, platform: str = sys.platform) -> str:
    """Remove the CUDA extension of torchaudio where it cannot be loaded, and return a line that says what was done."""
    accelerator = torch_accelerator(torch_folder)
    if not platform.startswith("linux") or accelerator:
        return f"torchaudio: left as it is ({accelerator or platform})"
    files = cuda_extension(torchaudio_folder)
    if not files:
        return "torchaudio: nothing to mend"
    if not own_environment(torchaudio_folder):
        return (
            f"torchaudio: {torchaudio_folder} is linked to CUDA while torch is CPU-only, so it cannot be imported. It "
            f"lies outside an environment of the project's own and was left alone: use `make`, or a virtual environment"
        )
    for path in files:
        path.unlink()
    names = ", ".join(path.name for path in files)
    return (
        f"torchaudio: removed {names} from {files[0].parent}: they are linked to CUDA, this torch is CPU-only, "
        f"and torchaudio runs without them"
    )


def compile_umap() -> None:
    """Import UMAP once: numba compiles what it keeps on disk (`NUMBA_CACHE_DIR`, else beside the packages)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of optional packages that are absent
        import umap  # noqa: F401


def installed_folder(package: str) -> Path | None:
    """Return the folder of an installed package without importing it, None where it is absent."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def closure(extras: tuple[str, ...] = ("test", "tensorboard")) -> dict[str, str]:
    """Return name -> version of all that slapkit with `extras` needs in this environment, itself left out."""
    from packaging.requirements import Requirement

    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    found: dict[str, str] = {}
    todo = [("slapkit", extra) for extra in ("", *extras)]
    seen = set(todo)
    while todo:
        name, extra = todo.pop()
        distribution = metadata.distribution(name)
        # A build for one device ("2.13.0+cpu") is the same version elsewhere.
        found[canonical(name)] = distribution.version.split("+")[0]
        for line in distribution.requires or []:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                new = {(canonical(need.name), e) for e in ("", *need.extras)} - seen
                seen |= new
                todo.extend(new)
    found.pop("slapkit")
    return dict(sorted(found.items()))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m slapkit.environment", description=__doc__.split("\n\n")[0])
    parser.add_argument("--constraints", action="store_true", help="print the versions that slapkit needs and stop")
    if parser.parse_args(argv).constraints:
        print("# The exact versions that were tested (Python 3.11, Linux). Made by `make constraints`.")
        print("\n".join(f"{name}=={version}" for name, version in closure().items()))
        return 0
    torch_folder, torchaudio_folder = installed_folder("torch"), installed_folder("torchaudio")
    if torch_folder is None or torchaudio_folder is None:
        print("torch and torchaudio are not installed here: run `make`, or `pip install -c constraints.txt -e .`")
        return 1
    print(repair_torchaudio(torch_folder, torchaudio_folder))
    if installed_folder("umap"):
        print("umap: compiling its neighbour search, once", flush=True)
        compile_umap()
    return 0


if __name__ == "__main__":
    sys.exit(main())
