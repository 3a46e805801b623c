"""Do published CLAPs give in slapkit what they give in transformers, and how much faster?

    python benchmarks/parity.py [--quick]

Weights are random, of the published size (HTS-AT tiny; with --quick a small text encoder), saved by transformers and
loaded by both. Prints the largest differences of features (dB) in every mode and of both towers' embeddings, and how
much longer transformers takes for features on one core and for a folder of clips from files to embeddings, all sides
by turns: slapkit in float32, which gives the same, and with products in bfloat16, with its cosine to the exact ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

import slapkit
from slapkit.audio.frontend import FRONTENDS, LogMel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "checkpoints"))

from frontends import MODES, worst_difference  # noqa: E402
from published_files import CAPTIONS, save_tokenizer  # noqa: E402

RATE = 48000
SMALL_TEXT = {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 256}


def by_turns(
    rounds: int, *, clock: Callable[[], float] = time.perf_counter, **sides: Callable[[], object]
) -> dict[str, list[float]]:
    """Times (s) of each side over the rounds; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, call in sides.items():
            began = clock()
            call()
            if number:
                times[name].append(clock() - began)
    return times


def ratio(times: dict[str, list[float]]) -> dict[str, float]:
    """Median times (s), and for each side of ours the median of the ratios within a round."""
    theirs = np.array(times["transformers"])
    medians = {f"{name}_s": round(float(np.median(values)), 4) for name, values in times.items()}
    ours = {name: theirs / values for name, values in times.items() if name != "transformers"}
    return medians | {f"{name}_ratio": round(float(np.median(values)), 2) for name, values in ours.items()}


def front_end_speed(rounds: int) -> dict[str, float]:
    """Features of one clip of 10 s on one core, in time of that thread: others on the machine count less."""
    from threadpoolctl import threadpool_limits
    from transformers import ClapFeatureExtractor

    wave = (0.1 * np.random.default_rng(0).standard_normal(10 * RATE)).astype(np.float32)
    extractor, log_mel = ClapFeatureExtractor(truncation="rand_trunc"), LogMel(FRONTENDS["clap"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):  # numpy's threads too: they wait busily, in whoever's time comes next
        times = by_turns(
            rounds,
            clock=time.thread_time,
            transformers=lambda: extractor(wave, sampling_rate=RATE, return_tensors="pt"),
            slapkit=lambda: log_mel(torch.from_numpy(wave)[None]),
        )
    torch.set_num_threads(threads)
    return ratio(times)


def save_clap(folder: Path, *, quick: bool) -> None:
    """Write a CLAP of the published size with random weights, as transformers does."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    ClapModel(ClapConfig(text_config=SMALL_TEXT if quick else {})).save_pretrained(folder)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    save_tokenizer(folder)


def folder_of_clips(folder: Path, *, count: int, rounds: int, clips: int, batch: int) -> dict[str, object]:
    """Differences of the towers, and times for a folder of clips of 10 s."""
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    theirs, extractor = ClapModel.from_pretrained(folder).eval(), ClapFeatureExtractor.from_pretrained(folder)
    tokenizer, ours = AutoTokenizer.from_pretrained(folder), slapkit.load(folder, device="cpu")
    rounded = slapkit.load(folder, device="cpu", precision="bf16")
    rng, paths = np.random.default_rng(1), [folder / f"{i}.wav" for i in range(clips)]
    for path in paths:
        soundfile.write(path, 0.2 * rng.standard_normal(10 * RATE), RATE)

    @torch.inference_mode()
    def with_transformers() -> np.ndarray:
        parts = []
        for start in range(0, clips, batch):
            waves = [soundfile.read(path, dtype="float32")[0] for path in paths[start : start + batch]]
            inputs = extractor(waves, sampling_rate=RATE, return_tensors="pt")
            parts.append(theirs.get_audio_features(**inputs).pooler_output)
        return torch.cat(parts).numpy()

    exact = with_transformers()
    audio = np.abs(exact - ours.embed_audio(paths, batch_size=batch)).max()
    cosine = (exact * rounded.embed_audio(paths, batch_size=batch)).sum(1).min()
    captions = [f"{CAPTIONS[i % len(CAPTIONS)]} {i}" for i in range(count)]
    with torch.inference_mode():
        text = theirs.get_text_features(**tokenizer(captions, padding=True, return_tensors="pt")).pooler_output.numpy()
    text_difference = np.abs(text - ours.embed_text(captions)).max()
    times = by_turns(
        rounds,
        transformers=with_transformers,
        slapkit=lambda: ours.embed_audio(paths, batch_size=batch),
        slapkit_bf16=lambda: rounded.embed_audio(paths, batch_size=batch),
    )
    return {
        "audio_tower_difference": float(audio),
        "bf16_least_cosine": float(cosine),
        "text_tower_difference": float(text_difference),
        "folder": ratio(times) | {"clips": clips, "batch": batch, "threads": torch.get_num_threads()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sounds, a small text encoder")
    args = parser.parse_args()
    inputs = 20 if args.quick else 1000
    features = {
        f"{padding}, {truncation}": float(f"{worst_difference(padding, truncation, inputs, seed=2):.2g}")
        for padding, truncation in MODES
    }
    result: dict[str, object] = {"inputs_a_mode": inputs, "feature_difference_db": features}
    result["features_of_10_s"] = front_end_speed(11 if args.quick else 41)
    with tempfile.TemporaryDirectory() as name:
        save_clap(Path(name), quick=args.quick)
        rounds = 2 if args.quick else 7
        result |= folder_of_clips(Path(name), count=8, rounds=rounds, clips=4 if args.quick else 32, batch=4)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
