"""Zero-shot classes and tags: labels are written into prompts, embedded as text, and compared with audio."""

from collections.abc import Sequence

import numpy as np

from slapkit.errors import ConfigError, DataError
from slapkit.metrics.checks import unit_rows
from slapkit.models.inference import Embedding, Model

PROMPTS = ("{}", "{} music", "this sounds like {}", "A {} track")  # those of arXiv 2506.17815
ENSEMBLE = "ensemble"


def prompt_scores(
    model: Model, audio: np.ndarray, labels: Sequence[str], *, prompts: Sequence[str] = PROMPTS,
    embedding: Embedding = "q",
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the cosine of every clip with every label, `[N, C]`, by prompt, and for "ensemble", the prompts' mean.

    Args:
        model: embeds the prompts.
        audio: embeddings of the clips `[N, D]`, of the same kind as `embedding`.
        labels: C names.
        prompts: each with one `{}` for the label.

    Raises:
        ConfigError: no prompts, the same one twice, or one without its `{}`.
        DataError: fewer than two labels, an empty one, or the same one twice.
    """
    if isinstance(labels, str) or isinstance(prompts, str):
        raise ConfigError("labels and prompts must be lists of texts, not one text")
    labels, prompts = list(labels), list(prompts)
    if not prompts or len(set(prompts)) < len(prompts) or any(prompt.count("{}") != 1 for prompt in prompts):
        raise ConfigError(f"prompts {prompts} must be at least one, each once, with one {{}} where the label goes")
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        raise DataError(f"labels {labels} must be at least two, each once, none empty")
    audio = unit_rows("audio", audio)
    texts = [prompt.replace("{}", label) for prompt in prompts for label in labels]
    text = model.embed_text(texts, embedding=embedding).reshape(len(prompts), len(labels), -1)
    scores = {prompt: audio @ unit_rows("labels", part).T for prompt, part in zip(prompts, text)}
    return scores | {ENSEMBLE: audio @ unit_rows("labels", text.mean(axis=0)).T}
