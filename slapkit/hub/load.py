"""Loading a checkpoint of any kind: a run, a folder or name of transformers' CLAP, or a LAION-CLAP file."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from slapkit._io import locate
from slapkit.errors import CheckpointError
from slapkit.hub import laion, transformers_clap
from slapkit.hub.published import assemble
from slapkit.models.encoders import build_audio_encoder, build_text_encoder
from slapkit.models.encoders.text import TextEncoder
from slapkit.models.inference import Model, Precision
from slapkit.models.joint import JointModel
from slapkit.models.weights import load_strictly, load_tensors, read_json, read_model_config

Kind = Literal["run", "clap", "laion"]
TOKENIZER = "roberta-base"  # LAION-CLAP's files come without theirs
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TORCH = {".pt", ".pth", ".ckpt", ".bin"}
_LONGEST_NOTE = 500  # characters
_SMALL = ["*.json", "merges.txt"]  # all that a CLAP folder needs but its weights; no code is ever fetched


class Source(NamedTuple):
    """A checkpoint: its kind, where it lies, and the user's name for it."""

    kind: Kind
    place: Path
    name: str


def find(path: str | Path) -> Source:
    """Return what lies at `path`, here or in the project, or under the name `owner/model` of the hub, if `path` is a
    string of that form.

    A name may reach the network, only where nothing of that name lies here. A `CheckpointError` says that nothing
    usable is there, or that the name cannot be reached.
    """
    place = locate(path)
    if place.is_file() and place.suffix in _TORCH:
        return Source("laion", place, str(path))
    if place.is_file():
        hint = f"name its folder, {place.parent}" if place.suffix in {".safetensors", ".json"} else "of another kind"
        raise CheckpointError(
            f"{place} is no checkpoint that can be loaded ({hint}): take a run's folder, a folder of transformers' "
            f"CLAP, or a LAION-CLAP file ({', '.join(sorted(_TORCH))})"
        )
    if place.is_dir():
        return Source(*_in_folder(place), str(path))
    if isinstance(path, str) and _NAME.fullmatch(path) and not Path(path.split("/")[0]).exists():
        return Source(*_in_folder(_from_hub(path)), path)
    raise CheckpointError(f"{path} does not exist: it holds no trained model")


def _in_folder(folder: Path) -> tuple[Kind, Path]:
    """Return kind and place of the checkpoint in `folder`; of a run's, its seeds together go before the first one."""
    places = (folder, folder / "together", folder / "checkpoint")
    folder = next((place for place in places if (place / "config.json").is_file()), folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds no trained model (no config.json): name a run's folder whose training has ended, its "
            "checkpoint folder, or a folder of transformers' CLAP"
        )
    content = read_json(folder / "config.json")
    kind = content.get("model_type")
    if kind is None or "format" in content:
        return "run", folder
    if kind != "clap":
        raise CheckpointError(f"{folder} holds a transformers model of type {kind!r}: only 'clap' is a joint model")
    return "clap", folder


def _from_hub(name: str) -> Path:
    """Return the folder of the hub's model `name`, from its cache or over the network."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_SMALL, "model.safetensors"]))
        if not (folder / "model.safetensors").is_file():
            folder = Path(snapshot_download(name, allow_patterns=[*_SMALL, "pytorch_model.bin"]))
        return folder
    except Exception as error:  # the hub's client and the network below it have dozens of classes
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        raise CheckpointError(
            f"{name!r} does not lie here, and as the name of a model on the hub it cannot be had "
            f"({type(error).__name__}: {reason}): check the name and the network, or name a folder"
        ) from error


def load_model(
    path: str | Path, *, device: str = "auto", precision: Precision = "no", tokenizer: str | Path | None = None
) -> Model:
    """Load a checkpoint to use it.

    Args:
        path: folder of a run or checkpoint, folder or hub name of transformers' CLAP, or a LAION-CLAP file. A string
            `owner/model` that is no path here is looked up on the hub.
        device: "auto" takes a GPU if there is one.
        precision: "no" for float32, or "bf16", see `Model`.
        tokenizer: folder or name of RoBERTa's tokenizer, for a LAION-CLAP file alone. Default: the folder `tokenizer`
            beside the file, else "roberta-base".

    Raises:
        CheckpointError: nothing usable is there, the weights do not fit, or a frozen encoder is not the one that it was
            trained with.
    """
    joint = load_joint(path, tokenizer=tokenizer)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Model(joint, device=device, precision=precision)


def load_joint(path: str | Path, *, tokenizer: str | Path | None = None) -> JointModel:
    """Return the joint model of a checkpoint, on the CPU; arguments and errors are those of `load_model`."""
    found = find(path)
    if tokenizer is not None and found.kind != "laion":
        raise CheckpointError(f"{path} comes with its own tokenizer: leave tokenizer={str(tokenizer)!r} out")
    if found.kind == "run":
        return _load_run(found.place)
    if found.kind == "clap":
        return assemble(transformers_clap.read_folder(found.place, found.name))
    if tokenizer is None:  # one beside the file serves every command
        beside = found.place.parent / "tokenizer"
        tokenizer = beside if beside.is_dir() else TOKENIZER
    return assemble(laion.read_file(found.place, found.name, tokenizer=tokenizer))


def _load_run(folder: Path) -> JointModel:
    config, content = read_model_config(folder)
    if config.text.frozen:
        text = build_text_encoder(config.text)
        if config.text.fingerprint and text.fingerprint() != config.text.fingerprint:
            raise CheckpointError(
                f"{folder}: trained with text encoder {config.text.source!r} of fingerprint {config.text.fingerprint}, "
                f"but the one found has {text.fingerprint()}: install the version that it was trained with"
            )
    else:
        text = TextEncoder.from_folder(folder / "text_encoder", config.text)
    joint = JointModel(config, content["objective"], build_audio_encoder(config.audio, weights=False), text)
    joint.note = str(content.get("note", ""))[:_LONGEST_NOTE]
    joint.vocabulary = _vocabulary(folder / "vocabulary.json")
    joint.log_scale_text = content.get("log_scale_text")
    file = folder / "model.safetensors"
    load_strictly(joint, load_tensors(file), file, own=joint.own_state())
    return joint


def _vocabulary(path: Path) -> frozenset[str]:
    """Return the words of the captions that a model was trained on; none where a model is older than their list."""
    if not path.exists():
        return frozenset()
    words = read_json(path).get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError(f"{path} holds no list of words: copy the model again, or delete this file")
    return frozenset(words)
