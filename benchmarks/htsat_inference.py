"""Time of HTS-AT on a CPU without gradients, per window of 10 s: transformers' own forward pass, the layout of
`slapkit.models.encoders.htsat_inference` with torch's public linear layers, and with oneDNN's packed ones.

    python benchmarks/htsat_inference.py [--rounds 5] [--windows 2] [--threads 1]

The ways take turns within every round, so that other work on the machine slows all of them; the table gives the
median over rounds of each way's time divided by that of the packed one in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from slapkit.models.encoders import build_audio_encoder, htsat_inference
from slapkit.presets import preset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 5), ("windows", 2), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    config = preset("paper").model.audio
    encoder = build_audio_encoder(config).eval()
    mel = torch.randn(asked.windows, config.window_frames, config.frontend.n_mels) * 10 - 40
    plans = {}
    for name, packed in (("packed", True), ("public", False)):
        torch.backends.mkldnn.is_available, kept = (lambda: packed), torch.backends.mkldnn.is_available
        plans[name] = htsat_inference._Plan(encoder.model, torch.float32)
        torch.backends.mkldnn.is_available = kept

    def laid_out(plan) -> torch.Tensor:
        bands = encoder.model.audio_encoder.batch_norm(mel.unsqueeze(1).transpose(1, 3)).transpose(1, 3)
        return torch.cat([plan(one) for one in bands.split(1)])

    ways = {
        "transformers": lambda: encoder.model(input_features=mel.unsqueeze(1)).pooler_output,
        "public": lambda: laid_out(plans["public"]),
        "packed": lambda: laid_out(plans["packed"]),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for round_number in range(asked.rounds + 1):
            for name, way in ways.items():
                start = time.process_time()
                way()
                if round_number:  # the first warms up
                    times[name].append((time.process_time() - start) / asked.windows)
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, times["packed"]))
        print(f"{name:13} {1000 * statistics.median(own):7.0f} ms of processor time, {ratio:.2f} of packed")


if __name__ == "__main__":
    main()
