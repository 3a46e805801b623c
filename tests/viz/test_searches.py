"""The page of searches: the library's own results, each with its sound, and nothing of a title is markup."""

import base64
import io
import json
import re

import pytest
import soundfile
from bs4 import BeautifulSoup

from slapkit.errors import LibraryError
from slapkit.viz.searches import save_searches
from tests.viz.fakes import FakeLibrary, tone
from tests.viz.payloads import PAYLOADS

QUERIES = ["slow flute", "fast <b>drums</b>"]


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Two fake libraries over one sound; the file of the first track cannot be decoded."""
    (tmp_path / "tone.wav").write_bytes(tone())
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    monkeypatch.setattr(
        FakeLibrary, "path", lambda _, id: tmp_path / ("broken.wav" if id == "audio/000.ogg" else "tone.wav")
    )
    return {name: FakeLibrary(12, model_name=name) for name in ("SLAP", "CLAP")}


def read(path):
    soup = BeautifulSoup(path.read_text(), "html.parser")
    return soup, json.loads(soup.find(id="sounds").string)


def test_every_result_stands_in_its_order_and_plays(libraries, tmp_path):
    soup, sounds = read(save_searches(libraries, QUERIES, tmp_path / "searches.html", k=12, seconds=0.5))
    assert [h2.text for h2 in soup.find_all("h2")] == [f"“{query}”" for query in QUERIES]
    lists = soup.find_all("ol")
    expected = [library.search(query, k=12) for query in QUERIES for library in libraries.values()]
    assert [[b.text for b in one.find_all("b")] for one in lists] == [table["title"].tolist() for table in expected]
    for one, table in zip(lists, expected):
        for button, row in zip(one.find_all("button"), table.itertuples()):
            assert button.has_attr("disabled") == (row.id == "audio/000.ogg")
            assert button["data-sound"] in sounds or button["data-sound"] == ""
    assert len(sounds) == 11, "once each"
    assert all(soundfile.info(io.BytesIO(base64.b64decode(one))).duration < 0.6 for one in sounds.values())
    page = (tmp_path / "searches.html").read_text()
    assert not re.search("https?:|<(link|img|iframe)", page) and "default-src 'none'" in page


def test_hostile_titles_and_queries_are_text(libraries, tmp_path):
    for library in libraries.values():
        library.tracks = library.tracks.assign(title=PAYLOADS[:12], style=PAYLOADS[12:24])
    soup, _ = read(save_searches(libraries, PAYLOADS, tmp_path / "searches.html", k=12))
    assert {tag.name for tag in soup.body.find_all()} == {
        "main", "section", "h2", "h3", "div", "ol", "li", "button", "b", "p", "audio", "script",
    }  # fmt: skip
    assert len(soup.find_all("script")) == 2
    assert not [name for tag in soup.find_all() for name in tag.attrs if name.startswith("on")]


def test_what_a_library_refuses_is_said(libraries, tmp_path):
    with pytest.raises(LibraryError):
        save_searches(libraries, ["- drums"], tmp_path / "searches.html")
    assert not (tmp_path / "searches.html").exists()
