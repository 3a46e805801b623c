"""A real JupyterLab or another server, and a notebook in JupyterLab, used as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# Quiet on a closed network; WebGL is drawn in software where there is no graphics card.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader", "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
FAILED = ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr")
# Every code cell has its number, or one has failed and the others will not run.
FINISHED = """([count, error]) => {
    if (document.querySelector(`.jp-Notebook [data-mime-type="${error}"]`)) return true;
    const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputArea-prompt')];
    return prompts.length >= count && prompts.every(p => /^\\[\\d+\\]:?$/.test(p.textContent.trim()));
}"""


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@dataclass
class Server:
    """A running server: its address, its token, the folder it works in, and its process."""

    url: str
    token: str
    root: Path
    pid: int


@contextlib.contextmanager
def serve(root: Path, home: Path) -> Iterator[Server]:
    """Run JupyterLab on `root`, its own settings in `home`; stop it at the end."""
    # The question whether to fetch news would lie over the notebook.
    quiet = home / "config_dir" / "labconfig" / "page_config.json"
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    command = ["jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--LabApp.extension_manager=readonly", "--ServerApp.terminals_enabled=False"]
    with running(command, root, home, ready="/api") as server:
        yield server


@contextlib.contextmanager
def running(command: list[str], root: Path, home: Path, *, ready: str = "/") -> Iterator[Server]:
    """Run a module on a free `{port}` of this machine until it answers at `ready`; stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Neither reads nor writes the settings of whoever runs the tests.
    own = {f"JUPYTER_{name}": str(home / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    own |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": secrets.token_hex(16)}
    command = [sys.executable, "-m", *(part.replace("{port}", str(port)) for part in command)]
    log = home / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=root, env=os.environ | own, stdout=out, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", own["JUPYTER_TOKEN"], root, process.pid)
    try:
        direct, end = urllib.request.build_opener(urllib.request.ProxyHandler({})), time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                direct.open(f"{server.url}{ready}?token={server.token}", timeout=5)
                break
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()  # it ends its kernels first
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def shown(found: Locator, count: int = 1) -> list[str]:
    """Bring `count` elements into view, and return what each shows once all show something.

    JupyterLab leaves cells out of view undrawn, and their text reads as empty.
    """
    end = time.monotonic() + 60
    while True:
        found.first.scroll_into_view_if_needed()
        texts = found.all_inner_texts()
        if len(texts) == count and all(texts):
            return texts
        assert time.monotonic() < end, f"{count} texts should be shown; these {len(texts)} are: {texts}"
        found.page.wait_for_timeout(50)


def set_parameters(path: Path, **values: Any) -> None:
    """Write other values into the `parameters` cell of a notebook, as a person would before running it."""
    node = nbformat.read(path, as_version=4)
    cell = next(c for c in node.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in values.items():
        line = rf"^({re.escape(name)}: [^=\n]+ = )(.*?)(  #.*)$"
        cell.source, changed = re.subn(line, rf"\g<1>{value!r}\g<3>", cell.source, flags=re.MULTILINE)
        assert changed == 1, f"{path.name} has no parameter {name!r}"
    nbformat.write(node, path)


class Notebook:
    """A notebook open in JupyterLab: run it from the menu, look into its cells by their ids."""

    def __init__(self, page: Page, server: Server, path: str) -> None:
        self.page, self.file = page, server.root / path
        node = nbformat.read(self.file, as_version=4)
        self.ids = [cell.id for cell in node.cells if cell.cell_type == "code"]
        # A kernel that runs already is taken over with all that it has imported and compiled.
        headers = {"Authorization": f"token {server.token}"}
        for kernel in page.request.get(f"{server.url}/api/kernels", headers=headers).json()[:1]:
            session = {"path": path, "name": self.file.name, "type": "notebook", "kernel": {"id": kernel["id"]}}
            page.request.post(f"{server.url}/api/sessions", headers=headers, data=session)
        page.goto(f"{server.url}/lab/tree/{quote(path)}?reset&token={server.token}")
        # Before a kernel is there the indicator says idle too; running then would ask which one to take.
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=180_000)

    def run_all(self) -> None:
        """Choose Run > Run All Cells from the menu."""
        self.page.locator("#jp-MainMenu").get_by_text("Run", exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()

    def finish(self) -> None:
        """Wait for the last cell, and check that none failed or complained."""
        self.page.wait_for_function(FINISHED, arg=[len(self.ids), FAILED[0]], timeout=300_000)
        for kind in FAILED:
            said = self.page.locator(f'.jp-Notebook [data-mime-type="{kind}"]').all_text_contents()
            assert not said, f"{self.file.name}: {said[0][-3000:]}"

    def cell(self, id: str) -> Locator:
        """Return the code cell of that id, scrolled into view."""
        found = self.page.locator(".jp-Notebook .jp-CodeCell").nth(self.ids.index(id))
        found.scroll_into_view_if_needed()
        return found
