"""Set-up of the project's own environment: `python -m slapkit.environment` repairs torchaudio and compiles UMAP.

On Linux the torchaudio wheel holds an extension linked to CUDA; beside a CPU-only torch `import torchaudio` fails on it
(`libc10_cuda.so: cannot open shared object file`). slapkit uses only what is pure Python in torchaudio, so the
extension is removed: only in an environment of its own, on Linux, where torch has neither CUDA nor ROCm.
"""

import importlib.util
import re
import sys
import warnings
from pathlib import Path

CUDA_MARKS = (b"libc10_cuda", b"libcudart", b"libtorch_cuda")


def repair_torchaudio(torch: Path, torchaudio: Path, *, platform: str = sys.platform) -> str:
    """Remove what cannot be loaded from the folder of torchaudio, and return a line that says what was done."""
    version = (torch / "version.py").read_text()  # read and not imported
    built_for = re.search(r"^(cuda|hip|xpu)\b[^=\n]*=\s*['\"].+?['\"]", version, re.MULTILINE)
    if not platform.startswith("linux") or built_for:
        return f"torchaudio: left as it is ({built_for[0] if built_for else platform})"
    files = sorted((torchaudio / "lib").glob("*.so"))
    if not any(mark in path.read_bytes() for path in files for mark in CUDA_MARKS):
        return "torchaudio: nothing to mend"
    isolated = sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()
    if not isolated or not torchaudio.resolve().is_relative_to(Path(sys.prefix).resolve()):
        return f"torchaudio: {torchaudio} needs CUDA and was left alone: use `make` or a virtual environment"
    for path in files:
        path.unlink()
    names = ", ".join(path.name for path in files)
    return f"torchaudio: removed {names} from {torchaudio}, which need CUDA; this torch has none, and nothing here does"


def main() -> int:
    specs = [importlib.util.find_spec(name) for name in ("torch", "torchaudio")]
    if not all(spec and spec.origin for spec in specs):
        print("torch and torchaudio are not installed here: run `make`, or `pip install -c constraints.txt -e .`")
        return 1
    print(repair_torchaudio(*(Path(spec.origin).parent for spec in specs)))
    if importlib.util.find_spec("umap"):
        print("umap: compiling its neighbour search, once", flush=True)
        warnings.simplefilter("ignore")  # of optional packages that are absent
        import umap  # noqa: F401
    return 0


if __name__ == "__main__":
    sys.exit(main())
