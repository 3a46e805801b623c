"""The text tower of a library's model as an ONNX graph, which needs neither torch nor transformers: a shell starts it
in a second. A library keeps it in its folder `text`, see `Library.keep_text_tower`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slapkit.hub import export

if TYPE_CHECKING:
    from slapkit.models.inference import Model


class GraphTower:
    """The text tower that `keep` wrote into a folder (a `slapkit.search.query.TextTower`). Raises `ImportError` without
    onnxruntime or tokenizers, and whatever reading a damaged graph or tokenizer raises."""

    def __init__(self, folder: Path, embedding: str) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        about = json.loads((folder / "export.json").read_text("utf-8"))
        self._output = embedding if embedding in about["outputs"] else "z"
        self.max_tokens, self.note = about["text"]["max_tokens"], about["note"]
        self.model, self.vocabulary = about["model"], frozenset(about["text"]["words"])
        self._tokenizer = Tokenizer.from_file(str(folder / about["text"]["tokenizer"] / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._session = onnxruntime.InferenceSession(folder / "text.onnx", providers=["CPUExecutionProvider"])

    def embed(self, text: str) -> np.ndarray:
        """Return the embedding of a text, float32 `[D]`, of unit norm."""
        self._tokenizer.enable_truncation(self.max_tokens)
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return self._session.run([self._output], given)[0][0]

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        self._tokenizer.no_truncation()
        return len(self._tokenizer.encode(text).ids)


def keep(model: Model, folder: Path, *, progress: bool = True) -> bool:
    """Write the text tower of a model into `folder` unless it is there; say whether it is there now."""
    name = model.fingerprint()
    if kept(folder, "q", name) is not None:
        return True
    shutil.rmtree(folder, ignore_errors=True)  # damaged, or of another version
    if progress:
        print("slapkit: writing the text tower as ONNX, so that a search starts in a second", file=sys.stderr)
    try:
        export.to_onnx(model, folder, towers=["text"])
    except (export.ExportError, ImportError):  # no such form, or a package is missing
        return False
    tower, words = kept(folder, "q", name), "slow flute and strings"
    if tower is not None and np.abs(tower.embed(words) - model.embed_text([words])[0]).max() <= 1e-5:
        return True
    shutil.rmtree(folder, ignore_errors=True)  # such as a tokenizer without `tokenizer.json`
    return False


def kept(folder: Path, embedding: str, model: str) -> GraphTower | None:
    """Return the text tower in `folder` if it is there, can be read, and is that of the `model` of this fingerprint."""
    if not (folder / "export.json").is_file():
        return None
    try:
        tower = GraphTower(folder, embedding)
    except Exception:  # onnxruntime's and tokenizers' classes have no common base: the model itself does as well
        return None
    return tower if tower.model == model else None
