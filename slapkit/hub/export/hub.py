"""A model on the Hugging Face Hub: the folder that slapkit writes, made whole, with a model card.

`push_to_hub` and `from_pretrained` are those of `huggingface_hub`'s mixin. What travels is `config.json`,
`model.safetensors`, `text_encoder/` and `README.md`. A text encoder that was frozen and taken from a folder travels
too, for nobody else has that folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn

from slapkit.hub.export.card import model_card
from slapkit.hub.export.folder import CAPTIONS, probe_sounds, require_equal, staged_folder
from slapkit.hub.load import load_model
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel, ModelConfig
from slapkit.models.weights import read_json, save_model

_FILES = ["config.json", "model.safetensors", "text_encoder/*", "README.md"]


class HubModel(nn.Module, PyTorchModelHubMixin, library_name="slapkit"):
    """A trained model that `push_to_hub` uploads and `from_pretrained` loads.

    Args:
        trained: the model.
        details: what `config.json` says of its training, "train" and "step".
        card: text of README.md; None makes one out of the model alone.
    """

    def __init__(self, trained: Model, *, details: Mapping[str, Any] | None = None, card: str | None = None) -> None:
        super().__init__()
        self.trained, self.joint = trained, trained.joint
        self.details, self.card = dict(details or {}), card

    @classmethod
    def of(cls, path: str | Path) -> HubModel:
        """Return the model of a run or a checkpoint folder, with the run's figures on its card where there is a run."""
        model, folder = load_model(path, device="cpu"), Path(path)
        run = next((f for f in (folder, folder.parent) if (f / "run.json").is_file()), None)
        inside = folder / "checkpoint" if (folder / "checkpoint" / "config.json").is_file() else folder
        content = read_json(inside / "config.json") if (inside / "config.json").is_file() else {}
        details = {key: content[key] for key in ("train", "step") if key in content}
        return cls(model, details=details, card=model_card(model, run))

    def forward(self, batch: dict[str, Tensor | dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return what `JointModel` does."""
        return self.joint(batch)

    def embed_audio(self, sounds, **options):
        """Embed sounds, see `slapkit.models.inference.Model.embed_audio`."""
        return self.trained.embed_audio(sounds, **options)

    def embed_text(self, captions, **options):
        """Embed captions, see `slapkit.models.inference.Model.embed_text`."""
        return self.trained.embed_text(captions, **options)

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """Return the card."""
        return ModelCard(self.card or model_card(self.trained))

    def _save_pretrained(self, save_directory: Path) -> None:
        joint, config = self.joint, self.joint.config
        frozen = joint.text.frozen
        try:  # what is written is told by these two
            joint.config = _portable(joint)
            joint.text.frozen = joint.config.text.frozen
            train, step = self.details.get("train", {}), self.details.get("step", 0)
            save_model(joint, Path(save_directory), train=train, step=step)
        finally:
            joint.config, joint.text.frozen = config, frozen

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, map_location: str = "cpu", revision=None, cache_dir=None, **options: Any
    ) -> HubModel:
        folder = Path(model_id)
        if not folder.is_dir():
            known = {key: options[key] for key in ("force_download", "token", "local_files_only") if key in options}
            folder = Path(
                snapshot_download(model_id, revision=revision, cache_dir=cache_dir, allow_patterns=_FILES, **known)
            )
        model = load_model(folder, device=map_location)
        content, card = read_json(folder / "config.json"), folder / "README.md"
        details = {key: content[key] for key in ("train", "step") if key in content}
        return cls(model, details=details, card=card.read_text(encoding="utf-8") if card.is_file() else None)


def _portable(joint: JointModel) -> ModelConfig:
    """Return the configuration under which the model needs no folder of this machine, and names none."""
    config = joint.config
    text, audio = config.text, config.audio
    if Path(text.source).is_dir():
        text = text.replace(source=Path(text.source).name, frozen=False, fingerprint=None)
    if audio.waveform and Path(audio.waveform.source).is_dir():
        audio = audio.replace(waveform=audio.waveform.replace(source=Path(audio.waveform.source).name))
    return config.replace(text=text, audio=audio)


def to_hub_folder(path: str | Path, out: str | Path) -> Path:
    """Write the model of a run or a checkpoint into the new folder `out`, with its card, and return `out`.

    The folder is what `push_to_hub` uploads, and what `slapkit.load` and `HubModel.from_pretrained` read.

    Raises:
        CheckpointError: nothing usable is at `path`.
        ExportError: what was written does not embed as the model does.
        ConfigError: `out` is there already.
    """
    hub = HubModel.of(path)
    with staged_folder(out) as folder:
        hub.save_pretrained(folder)
        written = load_model(folder, device="cpu")
        sounds, rate = probe_sounds(hub.trained), hub.trained.config.audio.frontend.sample_rate
        expected = hub.trained.embed_audio(sounds, sample_rate=rate)
        require_equal("the folder, hearing,", written.embed_audio(sounds, sample_rate=rate), expected)
        require_equal("the folder, reading,", written.embed_text(CAPTIONS), hub.trained.embed_text(CAPTIONS))
    return Path(out)
