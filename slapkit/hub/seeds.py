"""The models of several training seeds, kept as the one that a run is used by."""

from collections.abc import Iterable
from pathlib import Path

from slapkit.hub.load import load_joint
from slapkit.models.together import together
from slapkit.models.weights import read_json, save_model


def keep_together(folders: Iterable[str | Path], out: str | Path) -> Path | None:
    """Write the models in `folders`, of one training by several seeds, as one into `out`, and return that.

    Return None where there is no such model: of a single seed, or where an encoder was trained, which each seed has of
    its own; one that an earlier training left in `out` is then none any more. Raise as `load_joint` and `together`.
    """
    folders, out = [Path(folder) for folder in folders], Path(out)
    first = load_joint(folders[0]) if len(folders) > 1 else None
    if first is None or not (first.config.audio.frozen and first.config.text.frozen):
        (out / "config.json").unlink(missing_ok=True)
        return None
    joints = [first, *(load_joint(folder) for folder in folders[1:])]
    about = read_json(folders[0] / "config.json")
    save_model(together(joints), out, train=about["train"], step=about["step"])
    return out
