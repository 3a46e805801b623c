"""Tasks of MTEB on data that lies here: nothing is asked of the network."""

from collections.abc import Sequence

import mteb
import numpy as np
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval, AbsTaskZeroShotClassification
from mteb.abstasks.task_metadata import TaskMetadata

QUIET = {"batch_size": 8, "show_progress_bar": False}


def _about(name: str, kind: str, category: str, score: str) -> TaskMetadata:
    return TaskMetadata(
        name=name, type=kind, category=category, main_score=score, description="clips that a test made",
        dataset={"path": "here", "revision": "1"}, eval_langs=["eng-Latn"], modalities=["audio", "text"],
    )  # fmt: skip


def _scores(task: mteb.AbsTask, model) -> dict[str, float]:
    found = mteb.evaluate(model, task, cache=None, co2_tracker=False, encode_kwargs=QUIET, show_progress_bar=False)
    return found.task_results[0].scores["test"][0]


def retrieval(
    model, category: str, *, sounds: Sequence[dict], texts: Sequence[str], right: np.ndarray
) -> dict[str, float]:
    """MTEB's figures for `category` "t2a" or "a2t", where `right [texts, sounds]` says what belongs together."""
    clips = Dataset.from_dict({"id": [f"clip-{i:03d}" for i in range(len(sounds))], "audio": list(sounds)})
    captions = Dataset.from_dict({"id": [f"text-{i:03d}" for i in range(len(texts))], "text": list(texts)})
    queries, corpus, answers = (captions, clips, right) if category == "t2a" else (clips, captions, right.T)
    relevant = {query: {corpus["id"][i]: 1 for i in np.flatnonzero(own)} for query, own in zip(queries["id"], answers)}

    class Task(AbsTaskRetrieval):
        metadata = _about(f"Local{category.upper()}Retrieval", "Any2AnyRetrieval", category, "hit_rate_at_5")

        def load_data(self, **options):
            split = {"queries": queries, "corpus": corpus, "relevant_docs": relevant, "top_ranked": None}
            self.dataset, self.data_loaded = {"default": {"test": split}}, True

    return _scores(Task(), model)


def zero_shot(model, *, sounds: Sequence[dict], labels: Sequence[str], which: Sequence[int]) -> dict[str, float]:
    """MTEB's figures for clips of which each has the label `which`."""

    class Task(AbsTaskZeroShotClassification):
        metadata = _about("LocalZeroshot", "AudioZeroshotClassification", "a2t", "accuracy")
        input_column_name, label_column_name = "audio", "label"

        def load_data(self, **options):
            split = Dataset.from_dict({"audio": list(sounds), "label": [int(one) for one in which]})
            self.dataset, self.data_loaded = {"test": split}, True

        def get_candidate_labels(self):
            return list(labels)

    return _scores(Task(), model)
