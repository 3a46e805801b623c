"""Zero-shot scores: what a prompt is, how prompts are summed up, and what is refused."""

import numpy as np
import pytest

from slapkit.errors import ConfigError, DataError
from slapkit.metrics import tagging, zero_shot

LABELS = ["jig", "reel", "chorale"]


class Words:
    """A text tower that knows words: each has a direction of its own, a text is their sum."""

    dim = 64

    def __init__(self):
        self.asked = []

    def word(self, word):
        return np.random.default_rng([ord(c) for c in word.lower()]).normal(size=self.dim)

    def embed_text(self, texts, *, embedding="q"):
        self.asked += [(text, embedding) for text in texts]
        rows = np.stack([sum(self.word(word) for word in text.split()) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_scores_are_cosines_with_the_papers_prompts_and_with_their_mean():
    model, rng = Words(), np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    audio = np.stack([model.word(LABELS[k]) for k in labels]) + 0.3 * rng.normal(size=(50, model.dim))
    scores = zero_shot.prompt_scores(model, audio, LABELS, embedding="z")
    assert ("this sounds like reel", "z") in model.asked and ("A jig track", "z") in model.asked
    assert len(model.asked) == 12 and set(scores) == {*zero_shot.PROMPTS, "ensemble"}
    slow = np.array([[cosine(a, model.word("music") + model.word(label)) for label in LABELS] for a in audio])
    assert scores["{} music"] == pytest.approx(slow, abs=1e-6)
    texts = [model.embed_text([p.replace("{}", label) for p in zero_shot.PROMPTS]).mean(0) for label in LABELS]
    assert scores["ensemble"] == pytest.approx(np.array([[cosine(a, t) for t in texts] for a in audio]), abs=1e-6)
    one = zero_shot.prompt_scores(model, audio, LABELS[::-1], prompts=["{} music"])
    assert one["ensemble"] == pytest.approx(one["{} music"])
    assert one["{} music"] == pytest.approx(scores["{} music"][:, ::-1])
    assert tagging.accuracy(scores=scores["ensemble"], labels=labels) > 0.9


@pytest.mark.parametrize(
    ("labels", "prompts", "error", "said"),
    [
        (LABELS, [], ConfigError, "prompts"),
        (LABELS, ["music"], ConfigError, "'music'"),
        (LABELS, ["{} {}"], ConfigError, "'{} {}'"),
        (LABELS, ["{}", "{}"], ConfigError, "'{}', '{}'"),
        (LABELS, "{} music", ConfigError, "prompts"),
        (["jig"], ["{}"], DataError, "'jig'"),
        (["jig", " "], ["{}"], DataError, "' '"),
        (["jig", "jig"], ["{}"], DataError, "'jig', 'jig'"),
    ],
)
def test_bad_input_is_named(labels, prompts, error, said):
    with pytest.raises(error, match=said):
        zero_shot.prompt_scores(Words(), np.ones((2, 64)), labels, prompts=prompts)
