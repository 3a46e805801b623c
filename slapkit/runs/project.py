"""A new project: the notebooks, a place for data, and a file of parameters."""

import json
import shutil
from pathlib import Path

import slapkit
from slapkit._io import staged_folder
from slapkit.errors import RunError
from slapkit.runs.parameters import RESERVED, parameters_of

_PACKAGE = Path(slapkit.__file__).parent


def new_project(folder: str | Path) -> Path:
    """Write a project into the new `folder` and return it: notebooks/, data/, README.md and 02_train.yml.

    Raises:
        ConfigError: `folder` is there already and is not empty.
        RunError: slapkit was installed without its notebooks.
        StorageError: the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    # Inside the package where it was installed from a wheel (setup.py), beside it in a clone.
    source = next((place for place in (_PACKAGE / "project", _PACKAGE.parent) if (place / "notebooks").is_dir()), None)
    if source is None:
        raise RunError(f"{_PACKAGE} lacks the notebooks: pip install --force-reinstall --no-deps slapkit")
    files = [*source.glob("notebooks/*.ipynb"), source / "data" / "README.md", *source.glob("data/figures/*.svg")]
    with staged_folder(folder) as staged:
        for path in files:
            target = staged / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        readme = (_PACKAGE / "runs" / "project.md").read_text(encoding="utf-8")
        (staged / "README.md").write_text(readme.replace("{name}", folder.name), encoding="utf-8")
        (staged / "02_train.yml").write_text(_parameters(staged / "notebooks" / "02_train.ipynb"), encoding="utf-8")
    return folder


def _parameters(notebook: Path) -> str:
    """Return the parameters of a notebook with their defaults and comments, as YAML."""
    declared = parameters_of(notebook).values()
    lines = [f"{p.name}: {json.dumps(p.default)}  # {p.comment}" for p in declared if p.name != RESERVED]
    return "\n".join([f"# slapkit run {notebook.stem} -f {notebook.stem}.yml", *lines, ""])
