"""The map and the search bench as web pages for people without Jupyter: notebooks 03 and 04 through Voilà.

`make_pages` chooses parameters, runs and data; `serve` shows the pages on this machine alone.
"""

from slapkit.errors import need_extra

need_extra("app", "voila")

from slapkit.runs.app.pages import Page, make_pages
from slapkit.runs.app.server import serve
