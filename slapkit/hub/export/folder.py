"""The comparison that an export must pass, and the folder for the Hub."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from slapkit._io import atomic_write_text, staged_folder
from slapkit.errors import SlapkitError
from slapkit.hub.export.card import model_card, read_run, shown
from slapkit.hub.load import find, load_model
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from slapkit.models.weights import read_json, save_model

TOLERANCE = 1e-4  # largest difference that an embedding of unit norm may show in any dimension
_SHORT = ["a slow waltz for two flutes", "drums", "Bright, hurried fiddle tune over a drone; ends on a long chord."]
CAPTIONS = (_SHORT[:2], _SHORT[:1], [*_SHORT, "music " * 600])  # batches of several sizes and lengths, the longest too


class ExportError(SlapkitError):
    """A model that does not fit the form asked for, or an export that does not embed as the model does."""


def probe_sounds(model: Model) -> list[list[np.ndarray]]:
    """Return batches of two, one and three sounds `[T]` of one window each, at the model's rate: noises of changing
    colour and level."""
    audio, sounds = model.config.audio, []
    samples = round(audio.window_s * audio.frontend.sample_rate)
    for number in range(6):
        noise = np.random.default_rng(number).standard_normal(samples)
        smooth = np.convolve(noise, np.full(1 + 4 * number, 1 / (1 + 4 * number)), "same")
        sounds.append((0.3 * smooth * np.linspace(1, 0.1, samples)).clip(-1, 1).astype(np.float32))
    return [sounds[:2], sounds[2:3], sounds[3:]]


def embed_audio(model: Model, sounds: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return "z" and "q" `[B, D]` of sounds of one window each, from features that are not rounded to float16."""
    features = model.log_mel(torch.from_numpy(np.stack(sounds)).to(model.device))[:, : model.config.audio.window_frames]
    return dict(zip("zq", (x.numpy() for x in model.encode(features, "audio"))))


def embed_text(model: Model, captions: list[str]) -> dict[str, np.ndarray]:
    """Return "z" and "q" `[B, D]` of captions."""
    tokens = model.joint.text.encoder.tokenize(captions)
    return dict(zip("zq", (x.numpy() for x in model.encode(tokens, "text"))))


def require_same(
    model: Model, *, audio: Callable[[list[np.ndarray]], Mapping[str, np.ndarray]] | None = None,
    text: Callable[[list[str]], Mapping[str, np.ndarray]] | None = None,
) -> float:  # fmt: skip
    """Compare an export with the model on batches of sounds and captions; return the largest difference. Raise
    `ExportError` where it passes `TOLERANCE`, or values are not finite.

    `audio` and `text` are what the export makes of a batch: unit-norm embeddings `[B, D]` by name, "z" or "q"; None is
    not part of the export.
    """
    worst = 0.0
    towers = (("audio", audio, embed_audio, probe_sounds(model)), ("text", text, embed_text, CAPTIONS))
    for tower, exported, embed, batches in towers:
        for batch in batches if exported else ():
            wanted = embed(model, batch)
            for name, found in exported(batch).items():
                same_shape = found.shape == wanted[name].shape
                difference = float(np.abs(found - wanted[name]).max()) if same_shape else np.inf
                if not difference <= TOLERANCE:  # NaN too
                    raise ExportError(
                        f"the {tower} tower differs from the model by {difference:.2g} in {name}, on a batch of "
                        f"{len(batch)} (at most {TOLERANCE:g} may be): not written"
                    )
                worst = max(worst, difference)
    return worst


def to_hub_folder(path: str | Path, out: str | Path, *, tokenizer: str | Path | None = None) -> Path:
    """Write the model of a run or a checkpoint into the new folder `out`, with its card, and return `out`.

    `slapkit.load` reads the folder, and `hf upload` takes it to the Hub. A frozen text encoder is in it too, and so is
    the `tokenizer`, that of `slapkit.load`.

    Raises:
        CheckpointError: nothing usable is at `path`.
        ExportError: what was written does not embed as the model does.
        ConfigError: `out` is there already.
    """
    model, source = load_model(path, device="cpu", tokenizer=tokenizer), find(path)
    details = read_json(source.place / "config.json") if source.kind == "run" else {}
    train = dict(details.get("train", {}))
    if train.get("init"):
        train["init"] = shown(train["init"])
    with staged_folder(out) as folder:
        save_model(_portable(model.joint), folder, train=train, step=details.get("step", 0))
        atomic_write_text(folder / "README.md", model_card(model, *read_run(path)))
        written = load_model(folder, device="cpu")
        require_same(model, audio=partial(embed_audio, written), text=partial(embed_text, written))
    return Path(out)


def _portable(joint: JointModel) -> JointModel:
    """Return the model, sharing its encoders, with a configuration that names no place of this machine."""
    text, audio = joint.config.text, joint.config.audio
    if Path(text.source).exists():  # of a LAION-CLAP file, that
        text = text.replace(source=Path(text.source).name, frozen=False, fingerprint=None)
    if audio.waveform and Path(audio.waveform.source).is_dir():
        audio = audio.replace(waveform=audio.waveform.replace(source=Path(audio.waveform.source).name))
    config = joint.config.replace(text=text, audio=audio)
    portable = JointModel(config, joint.objective, joint.audio.encoder, joint.text.encoder).eval()
    portable.note, portable.vocabulary, portable.log_scale_text = joint.note, joint.vocabulary, joint.log_scale_text
    portable.load_state_dict({n: t for n, t in joint.state_dict().items() if not n.startswith("target_")})
    return portable
