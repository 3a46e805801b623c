"""Build step: a wheel carries the notebooks and the data card, from which `slapkit new` makes a project."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithProject(build_py):
    """Copies what lies outside the package to `slapkit/project/`; an editable installation finds it in the clone."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in ("notebooks/*.ipynb", "data/README.md", "data/figures/*.svg"):
            for path in sorted(Path().glob(pattern)):
                target = Path(self.build_lib, "slapkit", "project", path)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildWithProject})
