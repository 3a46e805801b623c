"""A trained model on held-out pairs: retrieval, gap and health, with the protocol of the measurement."""

from pathlib import Path
from typing import Any

import numpy as np

from slapkit.data import AudioTextDataset
from slapkit.errors import DataError
from slapkit.metrics import by_name
from slapkit.metrics.embedded import KINDS, Embedded, embed_split
from slapkit.metrics.retrieval import retrieval_scores, right_answers
from slapkit.models.inference import Model


def evaluate(
    model: Model, dataset: AudioTextDataset, *, split: str = "test", cache_dir: str | Path, seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Measure a model on one split, in the model's own precision; the result is what `metrics.json` holds.

    Recalls lie in [0, 1]; ranks are expected 1-based ranks divided by the number of candidates. "gap" and "health" are
    those of `q` (of `z` where there is no predictor), "gap_z" that of projections. All three take full captions.
    "registers" has retrieval by `q` for each register of captions alone, and for partial captions, which are true of
    many clips, precision by facts; "by_name" is `slapkit.metrics.by_name.ask` by kind; "timbre_shift" is retrieval for
    clips of the split that are in "shift" as well, in sounds that training never used. They are empty where the data
    set has no such columns or clips. A split that is missing or has fewer than two usable clips is a `DataError`.
    """
    _need_two(dataset.split(split), split)
    embedded = embed_split(model, dataset, split=split, cache_dir=cache_dir, progress=progress)
    _need_two(embedded.clips, split)
    spaces = {kind: embedded.space(kind, seed=seed) for kind in KINDS}
    ranks = spaces["q"].effective_ranks
    facts = [clip.facts for clip in embedded.clips]
    return {
        "retrieval": {kind: space.retrieval() for kind, space in spaces.items()},
        "gap": spaces["q"].gap(),
        "gap_z": spaces["z"].gap(),
        "health": {
            "effective_rank": min(ranks.values()),
            "effective_rank_audio": ranks["audio"],
            "effective_rank_text": ranks["text"],
            "embedding_std": spaces["q"].embedding_std,
        },
        "registers": _registers(embedded),
        "by_name": by_name.by_kind(by_name.ask(model, embedded.audio(), facts)),
        "timbre_shift": _timbre_shift(model, dataset, split, cache_dir, progress),
        "protocol": _protocol(model, dataset, embedded, seed),
    }


def _need_two(clips: AudioTextDataset, split: str) -> None:
    if len(clips) < 2:
        raise DataError(f"{clips.name}: one clip in the split {split!r} leaves nothing to rank: take at least 2")


def _timbre_shift(
    model: Model, dataset: AudioTextDataset, split: str, cache_dir: str | Path, progress: bool
) -> dict[str, Any]:
    """Return how many clips are in the split and in "shift", and their retrieval from text to audio in each."""
    sounds = {"known": split, "unseen": "shift"}
    if split == "shift" or "shift" not in dataset.splits:
        return {}
    pieces = [{(clip.group, *clip.captions): clip for clip in dataset.split(name)} for name in sounds.values()]
    shared = [piece for piece in pieces[0] if piece in pieces[1]]
    if len(shared) < 2:
        return {}
    found: dict[str, Any] = {"clips": len(shared)}
    for (sound, name), own in zip(sounds.items(), pieces):
        part = dataset.with_clips(own[piece] for piece in shared)
        embedded = embed_split(model, part, split=name, cache_dir=cache_dir, progress=progress)
        found[sound] = retrieval_scores(embedded.space().text_to_audio)
    return found


def _registers(embedded: Embedded) -> dict[str, dict[str, Any]]:
    """Return by register its retrieval in both directions, or for partial captions their mean precision and chance."""
    names, facts = np.array(embedded.clips.caption_column("caption_registers")), [clip.facts for clip in embedded.clips]
    said = embedded.clips.caption_column("caption_facts")
    result: dict[str, dict[str, Any]] = {}
    for register in dict.fromkeys(names[names != ""].tolist()):
        rows = np.flatnonzero(names == register)
        if register != "partial":
            space = embedded.space(of=names == register)
            result[register] = {"text_to_audio": retrieval_scores(space.text_to_audio)}
            if len(np.unique(space.clip_of_caption)) == len(facts):
                result[register]["audio_to_text"] = retrieval_scores(space.audio_to_text)
            continue
        relevant = by_name.said_of(facts, [said[row].split("; ") for row in rows])
        known = relevant.any(axis=1)
        if known.any():
            scores = embedded.text()[rows[known]] @ embedded.audio().T
            found = by_name.precision_at(scores=scores, relevant=relevant[known])
            chance = relevant[known].mean()
            result[register] = {
                "precision@10": float(found.mean()),
                "chance": float(chance),
                "queries": int(known.sum()),
            }
    return result


def _protocol(model: Model, dataset: AudioTextDataset, embedded: Embedded, seed: int) -> dict[str, Any]:
    """Return what is needed to compare the figures with others."""
    clips, captions = len(embedded.clips), int(embedded.full.sum())
    space = embedded.space()
    right = np.asarray(right_answers(space.clip_of_caption, clips, space.captions).sum(axis=1))
    return {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "split": embedded.split,
        "groups": len({clip.group for clip in embedded.clips}),
        "text_to_audio": {"queries": captions, "candidates": clips},
        "audio_to_text": {"queries": clips, "candidates": captions},
        "queries": captions,
        "candidates": clips,
        "captions": "all full captions of a clip (partial ones are measured apart): each is a query for its clip; its "
        "best placed counts for the clip; clips that share a caption are right answers alike, so that 1 is possible",
        **({"captions_by": note} if (note := embedded.clips.caption_note) else {}),
        "shared_captions": int((right > 1).sum()),
        "ties": "expected value over random orders of tied candidates",
        "ranks": "1-based rank / candidates",
        "q": "prediction" if model.has_predictor else "projection: this objective has no predictor",
        "audio": f"mean over windows of {model.config.audio.window_s} s that cover the clip",
        "precision": "float32" if model.precision == "no" else model.precision,
        "gap": "unit-norm q, first caption of each clip; separability by 5 folds of whole pairs",
        "chance_R@10": min(1.0, 10 / clips),
        "seed": seed,
    }
