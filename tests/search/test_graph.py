"""The text tower as a graph: the same vectors and results without torch; what cannot be read is passed over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slapkit.models.weights import save_model
from slapkit.search import Library, graph
from slapkit.search.query import ModelTower
from tests.search.library_parts import make_model

TEXTS = ["slow flute", "x", "Caf\u00e9 \u97f3\u697d \U0001f3b5 in C#-minor, 3/4", "very " * 300, "  two\n lines\t"]
CODE = "import sys; from slapkit.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"


@pytest.fixture(scope="module", params=["slap", "clap"])
def made(request, table, tmp_path_factory):
    """A library that keeps its words, and its model's folder."""
    folder, model = tmp_path_factory.mktemp("graph"), make_model(objective=request.param)
    model.joint.vocabulary, model.joint.note = frozenset({"slow", "flute"}), "captions of a machine"
    save_model(model.joint, folder / "run", train={}, step=1)
    library = Library.build(table, folder / "run", out=folder / "library", progress=False)
    assert library.keep_text_tower() and library.keep_text_tower(), "written once, then there"
    return library


@pytest.mark.slow
def test_the_graph_embeds_as_the_model_does(made):
    for embedding in ("q", "z"):
        kept = graph.kept(made.out / "text", embedding, made.model.fingerprint())
        model = ModelTower(made.model, embedding)
        for text in TEXTS:
            assert np.abs(kept.embed(text) - model.embed(text)).max() < 1e-5
            assert kept.tokens(text) == model.tokens(text)
        assert kept.vocabulary == model.vocabulary and kept.note == model.note == "captions of a machine"
        assert kept.max_tokens == model.max_tokens


@pytest.mark.slow
def test_a_search_by_words_imports_no_torch(made):
    command = [sys.executable, "-c", CODE, "search", str(made.out), "slow techno flute", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    rows = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    assert rows == list(made.search("slow techno flute")["id"])
    *said, modules = done.stderr.splitlines()
    assert "onnxruntime" in modules.split() and not {"torch", "transformers", "sklearn"} & set(modules.split())
    assert any("“techno”" in line for line in said)
    assert Library.open(made.out).note == "" and made.note == "captions of a machine"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["text.onnx", "export.json", "tokenizer/tokenizer.json"])
def test_a_damaged_graph_is_passed_over(made, file):
    path = made.out / "text" / file
    whole, wanted = path.read_bytes(), made.search("slow flute")
    try:
        for content in (whole[: len(whole) // 2], b"", b"[]"):
            path.write_bytes(content)
            assert list(Library.open(made.out).search("slow flute")["id"]) == list(wanted["id"])
        assert made.keep_text_tower(), "what is damaged is written again"
        assert graph.kept(made.out / "text", "q", made.model.fingerprint()) is not None
    finally:
        path.write_bytes(whole)
    assert graph.kept(made.out / "text", "q", "another model") is None
