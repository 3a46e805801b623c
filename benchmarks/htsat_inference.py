"""Processor time of HTS-AT on a CPU without gradients, for a window of 10 s.

    python benchmarks/htsat_inference.py [--rounds 9] [--threads 1]

Four ways take turns in every round, so that other work on the machine slows all of them: transformers' own forward
pass; the layout of `slapkit.models.encoders.htsat_inference` with plain linear layers; the same with oneDNN's layout of
weights by `Tensor.to_mkldnn`, as it is used; and with torch's private prepacked operations. The table has
medians over rounds, and the median of each round's ratio to the private way.

Two cores of an AMD EPYC with AVX-512, torch 2.13, one thread: transformers 1.40, plain 1.29, public 1.12, private 1.00.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from slapkit.models.encoders import build_audio_encoder, htsat_inference
from slapkit.presets import preset


class Plain:
    """A linear layer by `F.linear`."""

    def __init__(self, layers, dtype, gelu=False) -> None:
        self.weight, self.gelu = torch.cat([layer.weight for layer in layers]).detach().to(dtype), gelu
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers]).detach().to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if self.gelu else y


class Private(Plain):
    """A linear layer by operations of torch that are not public."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        after = ("gelu", [], "none") if self.gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, *after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    config = preset("paper").model.audio
    encoder = build_audio_encoder(config).eval()
    mel = torch.randn(1, config.window_frames, config.frontend.n_mels) * 10 - 40
    linear, ways = htsat_inference._Linear, {}
    for name, chosen in {"plain": Plain, "public": linear, "private": Private}.items():
        htsat_inference._Linear = chosen
        ways[name] = htsat_inference._Plan(encoder.model, torch.float32)
    times: dict[str, list[float]] = {name: [] for name in ("transformers", *ways)}
    with torch.inference_mode():
        bands = encoder.model.audio_encoder.batch_norm(mel.unsqueeze(1).transpose(1, 3)).transpose(1, 3)
        for _ in range(asked.rounds + 1):
            for name, own in times.items():
                start = time.process_time()
                ways[name](bands) if name in ways else encoder.model(input_features=mel.unsqueeze(1))
                own.append(time.process_time() - start)
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own[1:], times["private"][1:]))  # the first round warms up
        print(f"{name:13} {1000 * statistics.median(own[1:]):7.0f} ms, {ratio:.2f} of private")


if __name__ == "__main__":
    main()
