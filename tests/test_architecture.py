"""docs/architecture.md: the three paths that it lists are those that the real thing takes."""

import re
import sys
import threading
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from slapkit.data import read
from slapkit.models.losses import slap_loss
from slapkit.search import Library
from slapkit.training.loop import Trainer
from tests.training.tones import make_tones, tiny

ROOT = Path(__file__).parents[1]
# Settings and files serve every module; the loop and its threads hand on what others made.
EVERYWHERE = {
    "slapkit._cores",
    "slapkit._io",
    "slapkit._rows",
    "slapkit.config",
    "slapkit.errors",
    "slapkit.training.loop",
}
MOST = {"An audio file becomes a loss": 10, "A caption becomes a loss": 9, "Words become a search result": 7}


def modules_passed(run, *, holds=lambda value: True, until=None) -> list[str]:
    """Run a function and return the modules of which one took or returned a value that `holds`, in order.

    Nothing is recorded once the function `until` has returned.
    """
    found, done = {}, threading.Event()

    def profile(frame, event, returned):
        path = Path(frame.f_code.co_filename)
        if done.is_set() or event not in ("call", "return") or not path.is_relative_to(ROOT / "slapkit"):
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        values = [returned] if event == "return" else [frame.f_locals[n] for n in frame.f_code.co_varnames[:count]]
        if any(holds(value) for value in values):
            found.setdefault(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        if event == "return" and until is not None and frame.f_code is until.__code__:
            done.set()

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [name for name in found if name not in EVERYWHERE]


def holds_any(check):
    """Return whether a value passes the check, or one of the first things inside a list, dictionary or data class."""

    def holds(value) -> bool:
        if isinstance(value, dict):
            items = [*value.values()][:4]
        elif is_dataclass(value) and not isinstance(value, type):
            items = [getattr(value, field.name) for field in fields(value)]
        else:
            items = value[:4] if isinstance(value, list | tuple) else []
        return check(value) or any(holds(item) for item in items)

    return holds


@holds_any
def holds_floats(value) -> bool:
    """Whether a value is an array or tensor of real numbers."""
    if isinstance(value, torch.Tensor):
        return value.dim() > 0 and value.is_floating_point()
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def check(title, passed, first, last=None):
    """Compare the modules with those that the page lists under a title."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. `(slapkit[\w.]+)`", page.split(f"**{title}")[1].split("**", 2)[1], re.MULTILINE)
    assert passed[0] == first and last in (None, passed[-1])
    assert set(passed) == set(listed) and len(passed) <= MOST[title]


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return make_tones(tmp_path_factory.mktemp("tones") / "tones", clips=24)


@pytest.fixture(scope="module")
def one_step(tones, tmp_path_factory):
    """A function that goes from files to the loss of one step, nothing cached."""

    def step():
        chosen, folder = tiny({"batch_size": 8, "objective": "slap"}), tmp_path_factory.mktemp("step")
        data = read(tones.root)
        Trainer(chosen.model, chosen.train, data, folder / "out", folder / "cache", progress=False).step(0)

    step()  # what is imported on the way is not to be recorded
    return step


@pytest.fixture(scope="module")
def numbers(one_step):
    return modules_passed(one_step, holds=holds_floats, until=slap_loss)


def test_an_audio_file_becomes_a_loss(numbers):
    of_captions = ("slapkit.models.encoders.text", "slapkit.models.representations")  # the audio encoder is trained
    passed = [name for name in numbers if name not in of_captions]
    check("An audio file becomes a loss", passed, "slapkit.audio.decode", "slapkit.models.losses")


def test_a_caption_becomes_a_loss(tones, one_step, numbers):
    captions = {caption for clip in tones for caption in clip.captions}
    holds_caption = holds_any(lambda value: isinstance(value, str) and value in captions)
    words = modules_passed(one_step, holds=holds_caption, until=slap_loss)
    of_audio = ("slapkit.audio.", "slapkit.models.encoders.cnn")
    passed = list(dict.fromkeys([*words, *(name for name in numbers if not name.startswith(of_audio))]))
    check("A caption becomes a loss", passed, "slapkit.data.tables", "slapkit.models.losses")


def test_words_become_a_search_result(tones, tmp_path):
    from tests.search.library_parts import make_model

    library = Library.build(tones.root, make_model(), out=tmp_path / "library", progress=False)
    passed = modules_passed(lambda: library.search("calm harp + strings", k=3))
    check("Words become a search result", passed, "slapkit.search.library")
