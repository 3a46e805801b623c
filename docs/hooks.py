"""Hooks of the documentation: pages that lie elsewhere in the repository, and formulas as MathML."""

import html
import json
import posixpath
import re
import shutil
from pathlib import Path

import plotly
from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {"benchmarks/README.md": "benchmarks.md", "data/README.md": "data.md"}
PAGES |= {f"notebooks/{path.name}": f"tutorials/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")}
PICTURES = {f"data/figures/{path.name}": f"figures/{path.name}" for path in ROOT.glob("data/figures/*.svg")}
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


@event_priority(100)  # before mkdocs-jupyter looks at the files
def on_files(files, config):
    """Add the pages and pictures; a notebook with its outputs, where it was run to its end in this clone."""
    for source, page in (PAGES | PICTURES).items():
        records = ROOT.glob(f"runs/{Path(source).stem}/*/run.json") if source.endswith(".ipynb") else ()
        done = (path for path in records if json.loads(path.read_text(encoding="utf-8"))["status"] == "done")
        runs = (path.with_name("notebook.ipynb") for path in done)
        newest = max(runs, key=lambda path: path.stat().st_mtime, default=ROOT / source)
        staged = ROOT / "build" / "docs" / page
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(newest, staged)
        if page.endswith(".ipynb"):  # without places on this machine, and widgets, which come from the network
            notebook = json.loads(newest.read_text(encoding="utf-8").replace(f"{ROOT}/", ""))
            notebook["metadata"].pop("widgets", None)
            staged.write_text(json.dumps(notebook), encoding="utf-8")
        files.append(File(page, str(ROOT / "build" / "docs"), config.site_dir, config.use_directory_urls))
    files.append(File(PLOTLY.name, str(PLOTLY.parent), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown, page, **_):
    """Lead links between files of the repository to their pages."""
    shown = page.file.src_uri
    source = next((key for key, value in PAGES.items() if value == shown), f"docs/{shown}")

    def lead(match):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        there = (PAGES | PICTURES).get(target, target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(there, posixpath.dirname(shown) or ".") + match[3]

    return LINK.sub(lead, markdown)


def on_page_content(content, **_):
    """Draw formulas by the browser itself, figures by the site's copy of plotly: no network."""

    def draw(match):
        # latex2mathml does not know these two after \Big.
        tex = re.sub(r"\\[lr]Vert\b", "\N{DOUBLE VERTICAL LINE}", html.unescape(match[3]))
        if match[2] == "[":
            return f'<div class="formula">{convert(tex, display="block")}</div>'
        return convert(tex)

    return FORMULA.sub(draw, content).replace('src="figures/plotly.min.js"', f'src="../../{PLOTLY.name}"')
