"""The models of several training seeds, kept as the one that a run is used by."""

from collections.abc import Iterable
from pathlib import Path

from slapkit.hub.load import load_joint
from slapkit.models.together import together
from slapkit.models.weights import read_json, save_model


def keep_together(folders: Iterable[str | Path], out: str | Path) -> Path | None:
    """Write the models in `folders`, of one training by several seeds, as one into `out`, and return that.

    Return None where there is no such model: of a single seed, or where an encoder was trained, which each seed has of
    its own. Raise as `load_joint` and `together`.
    """
    folders = [Path(folder) for folder in folders]
    if len(folders) < 2:
        return None
    joints = [load_joint(folders[0])]
    if not (joints[0].config.audio.frozen and joints[0].config.text.frozen):
        return None
    joints += [load_joint(folder) for folder in folders[1:]]
    about = read_json(folders[0] / "config.json")
    save_model(together(joints), Path(out), train=about["train"], step=about["step"])
    return Path(out)
