"""MTEB's own evaluation of a model: on a local task of real sounds its figures are ours."""

import logging
from typing import NamedTuple

import mteb
import numpy as np
import pytest
import soundfile

from slapkit.data import read
from slapkit.hub.mteb import MUSIC_TASKS, MtebModel, mteb_model
from slapkit.metrics import audio_to_text_ranks, retrieval_scores, text_to_audio_ranks
from slapkit.metrics.retrieval import right_answers
from slapkit.metrics.zero_shot import prompt_scores
from slapkit.models.inference import Model
from slapkit.models.weights import save_model
from tests.hub import mteb_tasks
from tests.search.library_parts import RATE, make_model, sound

pytestmark = pytest.mark.slow
CLIPS, CAPTIONS = 20, 5  # MTEB rounds to five digits: shares of 20 and 100 are exact


class Clips(NamedTuple):
    paths: list
    sounds: list
    texts: list
    clip_of: np.ndarray
    right: np.ndarray
    labels: list  # of zero-shot classes, each the first caption of a clip
    which: list


@pytest.fixture(scope="module")
def clips(smoke_corpus) -> Clips:
    """Clips of the score corpus, each with several captions, of which clips share some."""
    chosen = read(smoke_corpus).clips[:CLIPS]
    waves = [soundfile.read(clip.path, dtype="float32") for clip in chosen]
    texts = [caption for clip in chosen for caption in clip.captions[:CAPTIONS]]
    clip_of, labels = np.repeat(np.arange(CLIPS), CAPTIONS), sorted(set(texts[::CAPTIONS]))
    return Clips(
        paths=[clip.path for clip in chosen],
        sounds=[{"array": wave, "sampling_rate": rate} for wave, rate in waves],
        texts=texts,
        clip_of=clip_of,
        right=right_answers(clip_of, CLIPS, texts).toarray(),
        labels=labels,
        which=[labels.index(caption) for caption in texts[::CAPTIONS]],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    save_model(make_model().joint, folder / "checkpoint", train={}, step=0)
    return folder


class Knowing(Model):
    """Knows the clips of `known`, and which a text belongs to."""

    def __init__(self, known: Clips) -> None:
        super().__init__(make_model().joint)
        self.place = {clip["array"].tobytes(): i for i, clip in enumerate(known.sounds)}
        self.belong = dict(zip(known.texts, known.right))

    def embed_audio(self, sounds, **options):
        return np.eye(CLIPS, dtype=np.float32)[
            [self.place[np.asarray(one["array"], np.float32).tobytes()] for one in sounds]
        ]

    def embed_text(self, captions, **options):
        return np.stack([self.belong[text] for text in captions]).astype(np.float32)


class Blind(Model):
    """To this one all is alike."""

    def embed_audio(self, sounds, **options):
        return np.ones((len(list(sounds)), self.dim), np.float32)

    embed_text = embed_audio


def both_ways(model, clips: Clips) -> tuple[dict, dict]:
    return tuple(
        mteb_tasks.retrieval(model, way, sounds=clips.sounds, texts=clips.texts, right=clips.right)
        for way in ("t2a", "a2t")
    )


def test_mtebs_figures_equal_ours_on_the_local_task(folder, clips):
    theirs, model = mteb_model(folder), make_model()
    audio, text = model.embed_audio(clips.paths), model.embed_text(clips.texts)
    given = {"audio": audio, "text": text, "clip_of_caption": clips.clip_of, "captions": clips.texts}
    assert len(set(clips.texts)) < len(clips.texts), "no clips share a caption"
    for found, ranks in zip(both_ways(theirs, clips), (text_to_audio_ranks(**given), audio_to_text_ranks(**given))):
        assert (ranks.tied == ranks.right).all(), "a tie with a wrong answer"
        ours = retrieval_scores(ranks)
        assert len({ours[f"R@{k}"] for k in (1, 5, 10)}) == 3
        for k in (1, 5, 10):
            assert found[f"hit_rate_at_{k}"] == pytest.approx(ours[f"R@{k}"], abs=1e-6)
    found = mteb_tasks.zero_shot(theirs, sounds=clips.sounds, labels=clips.labels, which=clips.which)
    ours = prompt_scores(model, audio, clips.labels, prompts=["{}"])["{}"].argmax(axis=1)
    assert 0 < found["accuracy"] < 1 and found["accuracy"] == pytest.approx((ours == clips.which).mean(), abs=1e-6)


def test_a_perfect_model_has_1_everywhere(clips):
    model = MtebModel(Knowing(clips), "slapkit/knowing")
    found = [score[f"hit_rate_at_{k}"] for score in both_ways(model, clips) for k in (1, 5, 10)]
    zero_shot = mteb_tasks.zero_shot(model, sounds=clips.sounds, labels=clips.labels, which=clips.which)
    assert found == [1.0] * 6 and zero_shot["accuracy"] == 1.0


def test_where_all_is_alike_ours_is_chance_and_mtebs_the_order_of_ids(clips):
    blind = Blind(make_model().joint)
    found, _ = both_ways(MtebModel(blind, "slapkit/blind"), clips)
    given = {"audio": blind.embed_audio(clips.sounds), "text": blind.embed_text(clips.texts)}
    ours = retrieval_scores(text_to_audio_ranks(**given, clip_of_caption=clips.clip_of, captions=clips.texts))
    assert found["hit_rate_at_1"] == pytest.approx(clips.right[:, -1].mean())
    assert ours["R@1"] == pytest.approx(clips.right.mean())


def test_what_it_makes_of_a_batch(folder, caplog):
    model, plain = mteb_model(folder), make_model()
    sounds = [{"array": sound(i, 1.5), "sampling_rate": RATE} for i in range(3)]
    texts = ["one", "two", "three"]
    audio, text = model.encode([{"audio": sounds}]), model.encode([{"text": texts[:2]}, {"text": texts[2:]}])
    np.testing.assert_allclose(audio, plain.embed_audio([one["array"] for one in sounds], sample_rate=RATE), atol=1e-6)
    np.testing.assert_allclose(text, plain.embed_text(texts), atol=1e-6)
    np.testing.assert_allclose(model.similarity(audio, text).diag(), model.similarity_pairwise(audio, text), atol=1e-6)
    projected = mteb_model(folder, embedding="z").encode([{"text": texts}])
    np.testing.assert_allclose(projected, plain.embed_text(texts, embedding="z"), atol=1e-6)
    together = model.encode([{"audio": sounds, "text": texts, "id": texts}])
    np.testing.assert_allclose(
        model.similarity_pairwise(together, audio), model.similarity_pairwise(together, text), atol=1e-6
    )
    with caplog.at_level(logging.WARNING):
        found = model.encode([{"audio": [sounds[0], {"array": np.zeros(RATE, np.float32), "sampling_rate": RATE}]}])
    assert "zeros" in caplog.text and not found[1].any()
    np.testing.assert_allclose(found[0], audio[0], atol=1e-6)


def test_results_are_filed_by_the_weights(folder):
    meta, other = mteb_model(folder).mteb_model_meta, mteb_model(folder / "checkpoint", embedding="z").mteb_model_meta
    assert meta.name == other.name == "slapkit/mine" and meta.revision == other.revision == make_model().fingerprint()
    assert (meta.experiment_name, other.experiment_name) == (None, "embedding_z")
    assert MtebModel(make_model(1), "a/b").mteb_model_meta.revision != meta.revision
    assert (meta.embed_dim, sorted(meta.modalities)) == (32, ["audio", "text"])


def test_the_music_tasks_are_mtebs():
    tasks = mteb.get_tasks(tasks=list(MUSIC_TASKS))
    assert [task.metadata.name for task in tasks] == list(MUSIC_TASKS)
    assert all(set(task.metadata.modalities) <= {"audio", "text"} for task in tasks)
