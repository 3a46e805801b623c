"""Zero-shot scores: what a prompt is, how prompts are summed up, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from slapkit.errors import ConfigError, DataError
from slapkit.metrics import tagging, zero_shot

LABELS = ["jig", "reel", "chorale"]


class Words:
    """A text tower that knows words: each has a direction of its own, a text is their sum."""

    def __init__(self, dim=64):
        self.dim, self.asked = dim, []

    def word(self, word):
        return np.random.default_rng([ord(c) for c in word.lower()]).normal(size=self.dim)

    def embed_text(self, texts, *, embedding="q"):
        self.asked += [(text, embedding) for text in texts]
        rows = np.stack([sum(self.word(word) for word in text.split()) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clips_of(model, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 50)
    return np.stack([model.word(LABELS[k]) for k in labels]) + noise * rng.normal(size=(50, model.dim)), labels


def test_labels_stand_in_the_papers_prompts_and_scores_are_cosines():
    model = Words()
    audio, _ = clips_of(model)
    scores = zero_shot.prompt_scores(model, audio, LABELS, embedding="z")
    assert ("this sounds like reel", "z") in model.asked and ("A jig track", "z") in model.asked
    assert len(model.asked) == 12 and set(scores) == {*zero_shot.PROMPTS, "ensemble"}
    slow = np.array([[_cosine(a, model.word("music") + model.word(label)) for label in LABELS] for a in audio])
    assert scores["{} music"] == pytest.approx(slow, abs=1e-6)


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_ensemble_is_the_mean_of_the_prompts_embeddings():
    model = Words()
    audio, _ = clips_of(model)
    scores = zero_shot.prompt_scores(model, audio, LABELS)
    texts = [model.embed_text([p.replace("{}", label) for p in zero_shot.PROMPTS]).mean(0) for label in LABELS]
    assert scores["ensemble"] == pytest.approx(np.array([[_cosine(a, t) for t in texts] for a in audio]), abs=1e-6)
    one = zero_shot.prompt_scores(model, audio, LABELS, prompts=["{} music"])
    assert one["ensemble"] == pytest.approx(one["{} music"])


def test_labels_are_found_by_words_in_any_order():
    model = Words()
    audio, labels = clips_of(model)
    forward, back = (zero_shot.prompt_scores(model, audio, names)["ensemble"] for names in (LABELS, LABELS[::-1]))
    assert forward == pytest.approx(back[:, ::-1])
    assert tagging.accuracy(scores=forward, labels=labels) > 0.9


@pytest.mark.parametrize(
    ("labels", "prompts", "error", "said"),
    [
        (LABELS, [], ConfigError, "prompts"),
        (LABELS, ["music"], ConfigError, "'music'"),
        (LABELS, ["{} {}"], ConfigError, "'{} {}'"),
        (LABELS, ["{}", "{}"], ConfigError, "'{}', '{}'"),
        (LABELS, "{} music", ConfigError, "prompts"),
        (["jig"], ["{}"], DataError, "'jig'"),
        (["jig", " "], ["{}"], DataError, "label 1 is empty"),
        (["jig", "jig"], ["{}"], DataError, "'jig', 'jig'"),
    ],
)
def test_bad_input_is_named(labels, prompts, error, said):
    with pytest.raises(error, match=said):
        zero_shot.prompt_scores(Words(), np.ones((2, 64)), labels, prompts=prompts)
