"""A model on the Hugging Face Hub: the folder that slapkit writes, made whole, with a model card.

`push_to_hub` and `from_pretrained` are those of `huggingface_hub`'s mixin. The folder holds `config.json`,
`model.safetensors`, `text_encoder/` and `README.md`; a frozen text encoder out of a local folder is in it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn

from slapkit.hub.export.card import model_card, read_run
from slapkit.hub.export.folder import embed_audio, embed_text, require_same, staged_folder
from slapkit.hub.load import load_model
from slapkit.hub.source import find
from slapkit.models.inference import Model
from slapkit.models.joint import JointModel
from slapkit.models.weights import read_json, save_model

_FILES = ["config.json", "model.safetensors", "text_encoder/*", "README.md"]


class HubModel(nn.Module, PyTorchModelHubMixin, library_name="slapkit"):
    """A trained model that `push_to_hub` uploads and `from_pretrained` loads.

    Args:
        trained: the model.
        details: "train" and "step" of its `config.json`.
        card: text of README.md; None makes one out of the model alone.
    """

    def __init__(self, trained: Model, *, details: Mapping[str, Any] | None = None, card: str | None = None) -> None:
        super().__init__()
        self.trained, self.joint = trained, trained.joint
        self.details, self.card = dict(details or {}), card

    @classmethod
    def of(cls, path: str | Path) -> HubModel:
        """Return the model of a run or a checkpoint, with the run's figures on its card where there is a run."""
        model, source = load_model(path, device="cpu"), find(path)
        details = _details(source.place) if source.kind == "run" else {}
        return cls(model, details=details, card=model_card(model, *read_run(path)))

    def forward(self, batch: dict[str, Tensor | dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return what `JointModel` does."""
        return self.joint(batch)

    def embed_audio(self, sounds, **options):
        """Embed audio, see `slapkit.models.inference.Model.embed_audio`."""
        return self.trained.embed_audio(sounds, **options)

    def embed_text(self, captions, **options):
        """Embed captions, see `slapkit.models.inference.Model.embed_text`."""
        return self.trained.embed_text(captions, **options)

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """Return the card."""
        return ModelCard(self.card or model_card(self.trained))

    def _save_pretrained(self, save_directory: Path) -> None:
        train, step = self.details.get("train", {}), self.details.get("step", 0)
        save_model(_portable(self.joint), Path(save_directory), train=train, step=step)

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, map_location: str = "cpu", revision=None, cache_dir=None, **options: Any
    ) -> HubModel:
        folder = Path(model_id)
        if not folder.is_dir():
            known = {key: options[key] for key in ("force_download", "token", "local_files_only") if key in options}
            where = {"revision": revision, "cache_dir": cache_dir, "allow_patterns": _FILES}
            folder = Path(snapshot_download(model_id, **where, **known))
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else None
        return cls(load_model(folder, device=map_location), details=_details(folder), card=text)


def _details(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "config.json")
    return {key: content[key] for key in ("train", "step") if key in content}


def _portable(joint: JointModel) -> JointModel:
    """Return the model, sharing its encoders, with a configuration that names no folder of this machine."""
    text, audio = joint.config.text, joint.config.audio
    if Path(text.source).is_dir():
        text = text.replace(source=Path(text.source).name, frozen=False, fingerprint=None)
    if audio.waveform and Path(audio.waveform.source).is_dir():
        audio = audio.replace(waveform=audio.waveform.replace(source=Path(audio.waveform.source).name))
    config = joint.config.replace(text=text, audio=audio)
    portable = JointModel(config, joint.objective, joint.audio.encoder, joint.text.encoder).eval()
    portable.load_state_dict({n: t for n, t in joint.state_dict().items() if not n.startswith("target_")})
    return portable


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
        require_same(hub.trained, audio=partial(embed_audio, written), text=partial(embed_text, written))
    return Path(out)
