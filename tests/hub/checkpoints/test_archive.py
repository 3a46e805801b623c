"""Torch's files from strangers: nothing runs, nothing grows beyond the file, and the fault is named."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from slapkit.errors import CheckpointError
from slapkit.hub.archive import read_weights


def repack(path, edit=None, *, extra=(), compression=zipfile.ZIP_STORED):
    """Write the archive anew with its pickle edited and members added."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, data in [*members, *extra]:
            archive.writestr(name, edit(data) if edit and name.endswith("/data.pkl") else data)
    return path


def lying(path, *, claimed=6, offset=0, shape=(2, 3), stride=(3, 1), number=torch.FloatStorage, after=None):
    """Write a file whose pickle claims what the arguments say about the six numbers that are there."""
    torch.save({"a": torch.zeros(2, 3)}, path)
    store = object()

    class Lie:
        def __reduce__(self):
            rebuilt = (torch._utils._rebuild_tensor_v2, (store, offset, shape, stride, False, OrderedDict()))
            return rebuilt if after is None else (*rebuilt, after)

    class Pickler(pickle._Pickler):
        def persistent_id(self, thing):
            return ("storage", number, "0", "cpu", claimed) if thing is store else None

    with open(path.with_suffix(".pkl"), "wb") as file:
        Pickler(file, protocol=2).dump({"a": Lie()})
    program = path.with_suffix(".pkl").read_bytes()
    return repack(path, lambda _: program)


def test_what_torch_saves_is_read(tmp_path):
    kinds = [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    ]
    base = torch.arange(24.0).view(2, 3, 4)
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


@pytest.mark.parametrize("where", ["top", "beside", "inside", "state"])
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
    torch.save(content[where], path)
    with pytest.raises(CheckpointError, match=r"evil.pt asks for (posix|nt).system.*nothing was run"):
        read_weights(path)
    with open(path, "wb") as file:
        pickle.dump(content[where], file)  # the same without an archive around it
    with pytest.raises(CheckpointError, match="Other pickles are not read, for they could run code"):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.getattr", "torch.load", "torch.hub.load", "io.open"])
def test_other_functions_are_refused(name, tmp_path):
    module, function = name.rsplit(".", 1)
    program = b"\x80\x02c" + module.encode() + b"\n" + function.encode() + b"\nX\x01\x00\x00\x00a\x85R."
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"asks for {name}"):
        read_weights(repack(tmp_path / "a.pt", lambda _: program))


def test_objects_and_other_content_are_refused(tmp_path):
    for content, words in [
        ({"a": np.dtype("O")}, "numpy value of type"), ({"a": torch.zeros(2), "b": 3}, "'b' is no tensor"),
        ({3: torch.zeros(2)}, "3 is no tensor"), ([torch.zeros(2)], "holds no weights"), ({}, "holds no weights"),
        ({"state_dict": 3}, "holds no weights"), (torch.zeros(2), "holds no weights"),
        (torch.nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear"),
    ]:  # fmt: skip
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match=words):
            read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"claimed": 2_500_000_000}, "claims a storage '0' of 10.0 GB, and has 24 B there"),
        ({"claimed": 3}, "of 12 B, and has 24 B there"),
        ({"claimed": -6}, "claims a storage"),
        ({"number": torch.DoubleStorage}, "of 48 B"),
        ({"shape": (2, 4), "stride": (4, 1)}, r"shape \[2, 4\] in a storage of 6"),
        ({"shape": (50_000, 50_000), "stride": (0, 0)}, "in a storage of 6"),
        ({"shape": (2, 3), "stride": (3, 2)}, "in a storage of 6"),
        ({"offset": 1}, "in a storage of 6"),
        ({"offset": -1}, "in a storage of 6"),
        ({"shape": (-2, 3)}, "in a storage of 6"),
        ({"stride": (3,)}, "in a storage of 6"),
        ({"shape": ("2", 3)}, "cannot be read as weights"),
        ({"after": {"shape": (9, 9)}}, "cannot be read as weights"),
    ],
)
def test_claims_beyond_the_file_are_refused(lie, words, tmp_path):
    assert read_weights(lying(tmp_path / "honest.pt"))["a"].shape == (2, 3)  # the forger's tool itself works
    with pytest.raises(CheckpointError, match=words):
        read_weights(lying(tmp_path / "a.pt", **lie))


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "c:/evil", "a//b"])
def test_members_that_lead_out_are_refused(name, tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="leads out of the archive"):
        read_weights(repack(tmp_path / "a.pt", extra=[(name, b"x")]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt"]


def test_bombs_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(2_000_000)}, path)
    repack(path, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(CheckpointError, match="is compressed"):
        read_weights(path)

    torch.save({"a": torch.zeros(2)}, path)
    repack(path, extra=[("a/data/0", bytes(8))])
    with pytest.raises(CheckpointError, match="overlap or repeat"):
        read_weights(path)

    torch.save({"a": torch.zeros(2)}, path)
    data = bytearray(repack(path).read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"a/data/0"))
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)  # both sizes of the member, in the directory
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="claims 2.1 GB"):
        read_weights(path)

    torch.save({"a": torch.zeros(2)}, path)
    remember = b"\x80\x02}r\xff\xff\xff\x7f."  # the value number 2,147,483,647 to be remembered
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(repack(path, lambda _: remember))
    with pytest.raises(CheckpointError, match="data.pkl is longer than 16.0 MB"):
        read_weights(repack(path, lambda _: bytes(17_000_000)))


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="TorchScript archive, which holds code"):
        read_weights(repack(path, extra=[("a/code/model.py", b"def f(): pass")]))
    torch.save({"a": torch.zeros(200)}, path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes/readme.txt", "nothing here")
    with pytest.raises(CheckpointError, match="no <name>/data.pkl"):
        read_weights(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_weights(repack(path, lambda program: program[:-5]))
