"""What strangers may put into a collection: names that leave it, code in arrays, sizes that lie, bombs in archives."""

import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from slapkit.data import collections
from slapkit.data.collections import archives, arrays
from slapkit.data.collections.arrays import open_array, read_member, read_texts
from slapkit.errors import DataError


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


LEAVING = ["../outside.wav", "/etc/passwd", "C:\\outside.wav", "..\\outside.wav", "x/../../outside.wav"]
LINKED = ["door/inner.wav", "link.wav", "nul\0.wav"]


@pytest.fixture
def outside(tmp_path, make):
    """A function that puts audio beside a collection, and links into the collection that lead to it."""

    def laid(root):
        make.sound(tmp_path / "outside.wav", 5)
        make.sound(tmp_path / "room" / "inner.wav", 6)
        (root / "link.wav").symlink_to(tmp_path / "outside.wav")
        (root / "door").symlink_to(tmp_path / "room")

    return laid


def test_names_in_tables_never_leave_the_folder(make, outside):
    root = make("slap-csv")
    outside(root)
    lines = [[name, "x", "train"] for name in [*LEAVING, *LINKED, "audio/track_1.wav"]]
    make.rows(root / "captions.csv", ["npy_path", "caption", "set"], lines)
    dataset = collections.read("slap-csv", root, root=root)
    assert [clip.id for clip in dataset] == ["audio/track_1.wav"]
    assert {p.value for p in dataset.problems} == {*LEAVING, *LINKED}


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("musiccaps", "audio/-0Gj8-vB1q4.wav"),
        ("gtzan", "genres_original/jazz/jazz.00054.wav"),
        ("openmic", "audio/000/000046_3840.ogg"),
        ("magnatagatune", "c/jade_leary-fossildawn-03-meaningless-0-29.mp3"),
    ],
)
def test_linked_files_of_found_names(make, outside, tmp_path, layout, file):
    root = make(layout)
    outside(root)
    (root / file).unlink()
    (root / file).symlink_to(tmp_path / "outside.wav")
    dataset = collections.read(layout, root)
    assert file not in {clip.id for clip in dataset} and file in {p.value for p in dataset.problems}


def test_openmic_never_unpickles(make, tmp_path):
    root = make("openmic")
    flag = tmp_path / "executed"
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        content = {name: file[name] for name in file.files}
    keys = np.empty(4, dtype=object)  # the keys are all there, with code among them that must not run
    keys[:] = list(content["sample_key"])
    keys[0] = [keys[0], Bomb(flag)]
    np.savez(root / "openmic-2018.npz", **content | {"sample_key": keys})
    assert len(collections.read("openmic", root)) == 4
    for name in ("Y_true", "Y_mask"):
        bad = np.empty((4, 20), dtype=object)
        bad[0, 0] = Bomb(flag)
        np.savez(root / "openmic-2018.npz", **content | {name: bad})
        with pytest.raises(DataError, match=name):
            collections.read("openmic", root)
    assert not flag.exists()
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        assert file["Y_mask"].shape == (4, 20)
    assert flag.exists(), "the file is what it is meant to be: NumPy itself runs the code"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Y_true", lambda y: y.T),
        ("Y_true", lambda y: y[:3]),
        ("Y_mask", lambda y: y[:, :19]),
        ("Y_mask", lambda y: y[0]),
        ("Y_true", lambda y: y.astype(str)),
        ("Y_true", lambda y: y + 1),
        ("Y_true", lambda y: y * np.nan),
        ("sample_key", lambda keys: keys[:, None]),
        ("sample_key", lambda keys: keys[[0, 0, 1, 2]]),
        ("sample_key", lambda keys: keys[:2]),
    ],
)
def test_openmic_arrays_of_a_wrong_shape_or_range(make, name, change):
    root = make("openmic")
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        content = {key: file[key] for key in file.files}
    np.savez(root / "openmic-2018.npz", **content | {name: change(content[name])})
    with pytest.raises(DataError, match=f"openmic-2018.npz.*{'Y_' if name[0] == 'Y' else 'sample_key'}"):
        collections.read("openmic", root)


def npz(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(shape, descr="<f4", data=b"", extra=""):
    """The bytes of an .npy whose header may say anything."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, {extra}}}"
    text = text.ljust(118) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


LIES = {
    "ten gigabytes": npy("(2500000000,)", data=b"\0" * 80),
    "beyond all numbers": npy(f"({10**30}, {10**30})", data=b"\0" * 80),
    "negative": npy("(-4,)", data=b"\0" * 80),
    "negative twice": npy("(-4, -5)", data=b"\0" * 80),
    "cut off": npy("(100,)", data=b"\0" * 399),
    "structured": npy("(4,)", descr=[("a", "<f4"), ("b", "<i4")], data=b"\0" * 80),
    "another shape": npy("'x'"),
    "code in the header": npy("(__import__('os').mkdir('executed'),)"),
    "unknown type": npy("(4,)", descr="<q9", data=b"\0" * 80),
    "another key": npy("(4,)", data=b"\0" * 80, extra="'more': 1"),
    "no array": b"RIFF....WAVE",
    "nothing": b"",
    "half a header": npy("(4,)")[:40],
    "long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 50_000_000) + b"(" * 50_000,
    "version 9": b"\x93NUMPY\x09\x00" + b"\0" * 100,
    "a pickle": pickle.dumps(Bomb("executed")),
}


@pytest.mark.parametrize("kind", LIES)
def test_arrays_that_lie(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.npy"
    path.write_bytes(LIES[kind])
    with pytest.raises(DataError, match="x.npy"):
        open_array(path)
    archive = npz(tmp_path / "x.npz", x=LIES[kind])
    for reading in (read_member, read_texts):
        with pytest.raises(DataError, match="x.npz"):
            reading(archive, "x")
    assert not (tmp_path / "executed").exists()


def test_pickled_arrays_do_not_run(tmp_path):
    np.save(tmp_path / "x.npy", np.array([Bomb(tmp_path / "executed")], dtype=object))
    with pytest.raises(DataError, match="x.npy"):
        open_array(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", x=np.array(["a", Bomb(tmp_path / "executed")], dtype=object))
    assert "a" in read_texts(tmp_path / "x.npz", "x")
    assert not (tmp_path / "executed").exists()


def test_an_npz_that_unpacks_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_MEMBER", 2_000_000)
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("(750000,)") + bytes(3_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="3.0 MB.*2.0 MB"):
        read_member(path, "x")


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name, data=b"x", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def refused(tmp_path, path, match):
    """Check that an archive is refused, and that nothing but itself lies in the folder then."""
    with pytest.raises(DataError, match=match):
        collections.extract(path, tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_extracting_tar(tmp_path, mode):
    path = tarred(tmp_path / "x.tar", member("set/", b"", type=tarfile.DIRTYPE), member("set/a.txt", b"1"), mode=mode)
    assert collections.extract(path, tmp_path / "deep" / "out", progress=False) == tmp_path / "deep" / "out"
    assert (tmp_path / "deep" / "out" / "set" / "a.txt").read_bytes() == b"1"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    with pytest.raises(DataError, match="deep/out"):  # nothing is overwritten
        collections.extract(path, tmp_path / "deep" / "out")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..\\x", "C:\\x", "..", "link"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_that_leave_the_folder_are_refused_whole(tmp_path, name, kind):
    if kind == "zip":
        path = zipped(tmp_path / "x.zip", **{"good.txt": b"1", name.replace("link", "/etc"): b"2"})
    else:
        link = {"type": tarfile.SYMTYPE, "linkname": "/etc"} if name == "link" else {}
        path = tarred(tmp_path / "x.tar", member("good.txt"), member(name, b"" if link else b"x", **link))
    refused(tmp_path, path, "refused")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "../x"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_hard_links_that_leave_and_devices_are_refused_whole(tmp_path, kind, target):
    special = member("special", b"", type=kind, linkname=target, devmajor=1, devminor=3)
    refused(tmp_path, tarred(tmp_path / "x.tar", member("good.txt"), special), "refused")


def test_a_hard_link_within_the_archive_is_the_same_file(tmp_path):
    link = member("twin.txt", b"", type=tarfile.LNKTYPE, linkname="good.txt")
    collections.extract(tarred(tmp_path / "x.tar", member("good.txt", b"1"), link), tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "twin.txt").read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_within_a_file_is_refused_as_the_archives_fault(tmp_path, kind, names):
    if kind == "zip":
        path = zipped(tmp_path / "x.zip", **dict.fromkeys(names, b"x"))
    else:
        path = tarred(tmp_path / "x.tar", *map(member, names))
    refused(tmp_path, path, "refused: at 'a")


def test_a_name_with_a_colon_is_unpacked(tmp_path):
    path = zipped(tmp_path / "x.zip", **{"A: one.mp3": b"1"})
    assert (collections.extract(path, tmp_path / "out", progress=False) / "A: one.mp3").read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "_SMALL", 1_000_000)
    zeros = bytes(200_000)
    if kind == "zip":
        path = zipped(tmp_path / "x.zip", **{f"{i}": zeros for i in range(60)})
    else:
        path = tarred(tmp_path / "x.tar", *(member(f"{i}", zeros) for i in range(60)))
    refused(tmp_path, path, "more than [1-4].. MB")


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", a=bytes(1_234_567))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 1_234_567), struct.pack("<I", 10)))
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("a").file_size == 10
    refused(tmp_path, path, "x.zip")


def test_a_converted_file_is_whole_or_absent(make, tmp_path, monkeypatch):
    root = make("slap-csv")

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        collections.read("slap-csv", root, sample_rate=16000, waves=tmp_path / "waves")
    assert not list((tmp_path / "waves").rglob("*.wav"))
