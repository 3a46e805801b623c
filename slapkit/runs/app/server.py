"""Voilà on this machine alone: a start page, the pages, and a kernel for each that is opened."""

import logging
import os
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from tornado.web import HTTPError
from traitlets import Bool
from traitlets.config import Config
from voila.app import Voila

from slapkit.runs.app.pages import Page
from slapkit.runs.execute import own_kernel
from slapkit.viz import theme

ADDRESS = "127.0.0.1"
ABANDONED_S = 1800  # a kernel whose page was closed without a word ends after so long
# Nothing is loaded from elsewhere, and no page of another site shows these.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"
# No pings, which two servers time differently: with one limit for both a page would lose its kernel after 30 s.
# On one machine a page that closes is seen at once.
SETTINGS = {"headers": {"Content-Security-Policy": POLICY}, "ws_ping_interval": 0}
# What draws widgets; other extensions of JupyterLab are not for these pages.
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
FAILED = "The terminal in which `slapkit app` runs says what happened."


class OwnKernel(KernelSpecManager):
    """Knows one kernel: this interpreter."""

    def find_kernel_specs(self) -> dict[str, str]:
        return {"python3": ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return own_kernel()


class App(Voila):
    """Voilà, which serves plotly.js too, says where it listens, and opens a browser with the token."""

    show = Bool(True, help="open a browser").tag(config=True)

    def setup_template_dirs(self) -> None:
        super().setup_template_dirs()
        self.static_paths.append(str(files("plotly") / "package_data"))

    def launch_browser(self) -> None:
        print(f"app: {self.display_url} (Ctrl-C ends it)", flush=True)
        if self.show:
            threading.Thread(target=webbrowser.open, args=[self.display_url], daemon=True).start()


def serve(pages: Sequence[Page], *, port: int = 8866, browser: bool = True) -> None:
    """Show `pages` on a port of this machine, the next free one, until the process is interrupted.

    The address, which is printed, holds a token, without which nothing is shown. Each opened page has a kernel, which
    ends when the page is closed.
    """
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parent), os.environ.get("JUPYTER_PATH")])
    )
    with tempfile.TemporaryDirectory(prefix="slapkit-app-") as scratch:
        app = App(config=_config(pages, Path(scratch), port, browser))
        app.initialize([])
        app.start()


def _config(pages: Sequence[Page], scratch: Path, port: int, browser: bool) -> Config:
    by_name = {page.notebook.stem: page for page in pages}
    links = [{"file": page.notebook.name, "label": page.label, "title": page.title} for page in pages]
    looks = {"light": "slapkit", "dark": "slapkit dark"}
    templates = {look: theme.template(name).to_plotly_json() for look, name in looks.items()}

    def fill(handler: Any, notebook: Any, cwd: str) -> Any:
        name = PurePosixPath(unquote(handler.request.path)).stem
        if name not in by_name:
            raise HTTPError(404)
        return by_name[name].fill(notebook, scratch / name)

    def add_links(page_config: dict[str, Any], **_: Any) -> dict[str, Any]:
        page_config |= {"pages": links, "colors": theme.css_variables(), "templates": templates}
        return page_config

    config = Config()
    config.Voila.update(
        ip=ADDRESS, port=port, auto_token=True, show=browser, root_dir=str(pages[0].notebook.parent),
        log_level=logging.ERROR, config_file_paths=[], tornado_settings=SETTINGS,
    )  # fmt: skip
    config.VoilaConfiguration.update(
        template="slapkit", allow_template_override="NO", allow_theme_override="NO", extension_allowlist=EXTENSIONS,
        file_allowlist=[], prelaunch_hook=fill, page_config_hook=add_links, kernel_spec_manager_class=OwnKernel,
    )  # fmt: skip
    config.VoilaExecutor.cell_error_instruction = FAILED
    config.MappingKernelManager.update(cull_idle_timeout=ABANDONED_S, transport_encryption="auto")
    return config
