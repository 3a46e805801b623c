"""Zero-shot classes and tags: labels are written into prompts, embedded as text, and compared with audio.

The four prompts are those of arXiv 2506.17815. The ensemble is the mean of a label's prompt embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slapkit.errors import ConfigError, DataError
from slapkit.metrics.checks import unit_rows
from slapkit.models.inference import Embedding, Model

PROMPTS = ("{}", "{} music", "this sounds like {}", "A {} track")
ENSEMBLE = "ensemble"


def prompt_scores(
    model: Model,
    audio: np.ndarray,
    labels: Sequence[str],
    *,
    prompts: Sequence[str] = PROMPTS,
    embedding: Embedding = "q",
) -> dict[str, np.ndarray]:
    """Return the cosine of every clip with every label, `[N, C]`, by prompt, and for "ensemble".

    Args:
        model: embeds the prompts.
        audio: embeddings of the clips `[N, D]`, of the same kind as `embedding`.
        labels: C names.
        prompts: each with one `{}` for the label.

    Raises:
        ConfigError: no prompts, the same one twice, or one without its `{}`.
        DataError: fewer than two labels, an empty one, or the same one twice.
    """
    labels, prompts = _checked(labels, prompts)
    audio = unit_rows("audio", audio)
    texts = [prompt.replace("{}", label) for prompt in prompts for label in labels]
    text = model.embed_text(texts, embedding=embedding).reshape(len(prompts), len(labels), -1)
    scores = {prompt: audio @ unit_rows("labels", part).T for prompt, part in zip(prompts, text)}
    return scores | {ENSEMBLE: audio @ unit_rows("labels", text.mean(axis=0)).T}


def _checked(labels: Sequence[str], prompts: Sequence[str]) -> tuple[list[str], list[str]]:
    if isinstance(labels, str) or isinstance(prompts, str):
        raise ConfigError("labels and prompts must be lists of texts, not one text")
    labels, prompts = list(labels), list(prompts)
    if not prompts:
        raise ConfigError("the list of prompts is empty: give at least one, such as '{} music'")
    for prompt in prompts:
        if prompt.count("{}") != 1:
            raise ConfigError(f"prompt {prompt!r} must hold {{}} once, where the label goes")
    if len(set(prompts)) < len(prompts):
        raise ConfigError(f"the same prompt is given twice among {prompts}")
    if len(labels) < 2:
        raise DataError(f"{len(labels)} label(s) {labels} leave nothing to choose from: give at least two")
    if empty := [i for i, label in enumerate(labels) if not label.strip()]:
        raise DataError(f"label {empty[0]} is empty")
    if len(set(labels)) < len(labels):
        raise DataError(f"the same label is given twice among {labels}")
    return labels, prompts
