"""Torch's files from strangers: nothing runs, nothing reaches beyond the file, and the file is named."""

import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from slapkit.errors import CheckpointError
from slapkit.hub.archive import read_weights


def repack(path, edit, *, compression=zipfile.ZIP_STORED):
    """Write the archive anew with its pickle edited."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, edit(data) if name.endswith("/data.pkl") else data)
    return path


def test_what_torch_saves_is_read(tmp_path):
    base = torch.arange(24.0).view(2, 3, 4)
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
    wanted = {str(kind): (base % 2).to(kind) for kind in kinds} | {
        "view": base[1, :, ::2], "transposed": base.mT, "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(base[0].clone()),
    }  # fmt: skip
    torch.save(wanted, tmp_path / "a.pt")
    found = read_weights(tmp_path / "a.pt")
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor.detach()), name


@pytest.mark.parametrize("core", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_a_training_checkpoint_is_read(core, tmp_path):
    """With an optimiser, best scores as numpy keeps them, and names as several devices save them."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 15, "name": "a run", "state_dict": {f"module.{n}": t for n, t in model.state_dict().items()},
        "optimizer": optimizer.state_dict(), "best": np.float64(0.25), "count": np.int64(3), "when": [1, None, True],
    }  # fmt: skip
    path = tmp_path / "a.pt"
    torch.save(content, path)
    repack(path, lambda program: program.replace(b"numpy._core.multiarray", core.encode()))
    found = read_weights(path)
    assert found.keys() == {"weight", "bias"} and torch.equal(found["weight"], model.weight)


@pytest.mark.parametrize("where", ["top", "beside", "inside", "state", "without an archive"])
def test_code_is_refused_and_not_run(where, tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    class EvilState(OrderedDict):
        def __reduce__(self):
            return OrderedDict, (), {"_metadata": Evil()}

    weights = {"a": torch.zeros(2)}
    content = {
        "top": Evil(), "beside": {"state_dict": weights, "args": Evil()}, "inside": weights | {"b": Evil()},
        "state": {"state_dict": EvilState()},
    }  # fmt: skip
    path = tmp_path / "evil.pt"
    if where in content:
        torch.save(content[where], path)
    else:
        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="system" if where in content else "evil.pt"):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"a": np.dtype("O")}, "a.pt"), ({"a": torch.zeros(2), "b": 3}, "'b'"), ({3: torch.zeros(2)}, "3"),
        ({}, "a.pt"), ([torch.zeros(2)], "a.pt"), ({"state_dict": 3}, "a.pt"), (torch.zeros(2), "a.pt"),
        (torch.nn.Linear(2, 2), "Linear"), ({"a": torch.zeros(1).expand(50_000, 50_000)}, "'a'"),  # 10 GB of one number
        ({"a": torch.eye(2).to_sparse()}, "'a'"), ({"a": torch.empty(2, device="meta")}, "'a'"),
    ],
)  # fmt: skip
def test_other_content_is_refused(content, named, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=named):
        read_weights(tmp_path / "a.pt")


def test_bombs_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(2_000_000)}, path)
    whole = path.read_bytes()
    repack(path, lambda program: program, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="8.0 MB"):
        read_weights(path)
    for damaged in (whole[:-300], whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="a.pt"):
            read_weights(path)
