"""Do published CLAPs give in slapkit what they give in transformers, and how much faster?

    python benchmarks/parity.py [--quick]

Weights are random, of the published size (HTS-AT tiny; with --quick a small text encoder), saved by transformers and
loaded by both. Prints the largest differences of features (dB) in every mode and of both towers' embeddings, and how
much longer transformers takes for features on one core and for a folder of clips from files to embeddings, all sides
by turns: transformers in batches of several sizes, in float32 and under bfloat16 autocast, slapkit in float32, which
gives the same, and with products in bfloat16, with its cosine to the exact ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

import slapkit
from slapkit.audio.frontend import FRONTENDS, LogMel
from slapkit.audio.windows import fill
from tests.hub.checkpoints.published_files import CAPTIONS, save_tokenizer

RATE = 48000
MODES = [(p, t) for t in ("rand_trunc", "fusion") for p in ("repeat", "repeatpad", "pad")]
SCALES = {"rand_trunc": ("slaney", "slaney"), "fusion": ("htk", "none")}
SMALL_TEXT = {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 256}


def random_wave(rng, seconds):
    """Noise, a tone, clicks or silence with a burst, from very quiet to clipping."""
    n = max(1, round(seconds * RATE))
    wave = [
        rng.standard_normal(n),
        np.sin(2 * np.pi * rng.uniform(30, 20000) * np.arange(n) / RATE),
        (rng.random(n) < 0.001).astype(float),
        np.where(np.arange(n) < n // 2, 0, rng.standard_normal(n)),
    ][rng.integers(4)]
    wave = np.clip(10 ** rng.uniform(-4, 0.3) * wave, -1, 1)
    return (np.round(wave * 32767) / 32768 if rng.random() < 0.5 else wave).astype(np.float32)  # or of 16 bits


def worst_difference(padding, truncation, count, seed):
    """Largest difference in dB between both front ends over `count` random sounds of up to two and a half windows."""
    rng = np.random.default_rng(seed)
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(max_length_s=1, frequency_min=50, truncation=truncation, padding=padding)
    scale, norm = SCALES[truncation]
    config = FRONTENDS["clap"].replace(f_min=50.0, mel_scale=scale, norm=norm, min_s=1.0, padding=padding)
    ours, worst = LogMel(config), 0.0
    for number in range(count):
        wave = random_wave(rng, rng.uniform(0.002, 1.0) if number % 3 else rng.uniform(1.0, 2.5))
        np.random.seed(number)
        theirs = extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_features"][0]
        whole = fill(wave, RATE, padding)
        np.random.seed(number)  # the extractor cuts at random, so its own draws are repeated
        if len(wave) > RATE and truncation == "rand_trunc":
            start = np.random.randint(0, len(wave) - RATE + 1)
            whole = whole[start : start + RATE]
        mel = ours(torch.from_numpy(whole)[None])[0]
        channels = [mel] * len(theirs)
        if len(mel) > 101:  # fused: the whole squeezed, and a piece of each third
            squeezed = torch.nn.functional.interpolate(mel[None, None], size=(101, 64), mode="bilinear")
            thirds = np.array_split(np.arange(len(mel) - 100), 3)
            starts = [np.random.choice(third if len(third) else [0]) for third in thirds]
            channels = [squeezed[0, 0], *(mel[start : start + 101] for start in starts)]
        assert theirs.shape == (len(channels), 101, 64)
        worst = max(worst, *((a - b).abs().max().item() for a, b in zip(channels, theirs)))
    return worst


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
    """Median times (s), and the medians of the ratios within a round, of each way of theirs to each of ours."""
    result = {f"{name}_s": round(float(np.median(values)), 4) for name, values in times.items()}
    theirs = {name: values for name, values in times.items() if name.startswith("transformers")}
    for name, values in times.items():
        if name not in theirs:
            ratios = {f"{other} / {name}": np.array(slower) / values for other, slower in theirs.items()}
            result |= {both: round(float(np.median(within)), 2) for both, within in ratios.items()}
    return result


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


def folder_of_clips(folder: Path, *, count: int, rounds: int, clips: int, batches: Sequence[int]) -> dict[str, object]:
    """Differences of the towers, and times for a folder of clips of 10 s."""
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    theirs, extractor = ClapModel.from_pretrained(folder).eval(), ClapFeatureExtractor.from_pretrained(folder)
    tokenizer, ours = AutoTokenizer.from_pretrained(folder), slapkit.load(folder, device="cpu")
    rounded = slapkit.load(folder, device="cpu", precision="bf16")
    rng, paths = np.random.default_rng(1), [folder / f"{i}.wav" for i in range(clips)]
    for path in paths:
        soundfile.write(path, 0.2 * rng.standard_normal(10 * RATE), RATE)

    @torch.inference_mode()
    def with_transformers(batch: int, bf16: bool = False) -> np.ndarray:
        parts = []
        for start in range(0, clips, batch):  # as one does by hand: as many at a time as one chooses
            waves = [soundfile.read(path, dtype="float32")[0] for path in paths[start : start + batch]]
            inputs = extractor(waves, sampling_rate=RATE, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                parts.append(theirs.get_audio_features(**inputs).pooler_output)
        return torch.cat(parts).float().numpy()

    exact = with_transformers(4)
    audio = np.abs(exact - ours.embed_audio(paths)).max()
    cosine = (exact * rounded.embed_audio(paths)).sum(1).min()
    captions = [f"{CAPTIONS[i % len(CAPTIONS)]} {i}" for i in range(count)]
    with torch.inference_mode():
        text = theirs.get_text_features(**tokenizer(captions, padding=True, return_tensors="pt")).pooler_output.numpy()
    text_difference = np.abs(text - ours.embed_text(captions)).max()
    times = by_turns(
        rounds,
        **{f"transformers_by_{batch}": partial(with_transformers, batch) for batch in batches},
        **{f"transformers_bf16_by_{batch}": partial(with_transformers, batch, bf16=True) for batch in batches},
        slapkit=lambda: ours.embed_audio(paths),
        slapkit_bf16=lambda: rounded.embed_audio(paths),
    )
    return {
        "audio_tower_difference": float(audio),
        "bf16_least_cosine": float(cosine),
        "text_tower_difference": float(text_difference),
        "folder": ratio(times) | {"clips": clips, "threads": torch.get_num_threads()},
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
        rounds, batches = (2, (4,)) if args.quick else (5, (1, 4, 8, 16))
        result |= folder_of_clips(Path(name), count=8, rounds=rounds, clips=4 if args.quick else 32, batches=batches)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
