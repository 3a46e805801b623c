"""What strangers may put into a collection: names that leave it, code in arrays, sizes that lie, bombs in archives."""

import io
import os
import pickle
import shutil
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from slapkit.audio import decode
from slapkit.data import collections
from slapkit.data.collections import archives, arrays
from slapkit.data.collections.arrays import open_array, read_member, read_texts
from slapkit.data.leakage import sound_hash
from slapkit.errors import AudioError, DataError


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


LEAVING = [
    "../outside.wav",
    "/etc/passwd",
    "C:\\outside.wav",
    "..\\outside.wav",
    "x/../../outside.wav",
    "door/inner.wav",
]
LEAVING += ["link.wav", "nul\0.wav"]


@pytest.fixture
def outside(tmp_path, make):
    """A function that lays a sound beside a collection, and links into the collection that lead to it."""

    def laid(root):
        make.sound(tmp_path / "outside.wav", 5)
        make.sound(tmp_path / "room" / "inner.wav", 6)
        (root / "link.wav").symlink_to(tmp_path / "outside.wav")
        (root / "door").symlink_to(tmp_path / "room")

    return laid


def test_names_in_tables_never_leave_the_folder(make, outside, tmp_path):
    root = make("slap-csv")
    outside(root)
    lines = [[name, "x", "train"] for name in [*LEAVING, "audio/track_1.wav"]]
    make.rows(root / "captions.csv", ["npy_path", "caption", "set"], lines)
    dataset = collections.read("slap-csv", root, root=root)
    assert [clip.id for clip in dataset] == ["audio/track_1.wav"]
    assert len(dataset.problems) == len(LEAVING)
    assert {p.reason for p in dataset.problems} == {"the path leaves the folder", "file_name holds control characters"}


@pytest.mark.parametrize("name", [*LEAVING[:5], "\0", "door/inner.mp3"])
def test_song_describer_paths_that_leave(make, outside, tmp_path, name):
    root = make("song-describer")
    outside(root)
    (tmp_path / "outside.2min.wav").write_bytes((tmp_path / "outside.wav").read_bytes())
    path = root / "song_describer.csv"
    path.write_text(path.read_text().replace("74/1007274.mp3", name))
    dataset = collections.read("song-describer", root)
    assert len(dataset) == 2 and len(dataset.problems) == 1
    assert all(clip.path.resolve().is_relative_to(root.resolve()) for clip in dataset)


def test_magnatagatune_and_links(make, outside, tmp_path):
    root = make("magnatagatune")
    outside(root)
    path = root / "annotations_final.csv"
    good = "0/norine_braun-now_and_zen-08-gently-1-30.mp3"
    path.write_text(path.read_text().replace(good, "0/../../outside.wav"))
    (root / "c" / "jade_leary-fossildawn-03-meaningless-0-29.mp3").unlink()
    (root / "c" / "jade_leary-fossildawn-03-meaningless-0-29.mp3").symlink_to(tmp_path / "outside.wav")
    dataset = collections.read("magnatagatune", root)
    assert len(dataset) == 4 and {p.reason for p in dataset.problems} == {"the path leaves the folder"}


def test_linked_sounds_of_found_names(make, outside, tmp_path):
    for layout, file in (
        ("musiccaps", "audio/-0Gj8-vB1q4.wav"),
        ("gtzan", "genres_original/jazz/jazz.00054.wav"),
        ("openmic", "audio/000/000046_3840.ogg"),
    ):
        root = make(layout)
        (root / file).unlink()
        if layout == "musiccaps":
            outside(root)
        (root / file).symlink_to(tmp_path / "outside.wav")
        dataset = collections.read(layout, root)
        assert file not in {clip.id for clip in dataset}
        assert "the path leaves the folder" in {p.reason for p in dataset.problems}


def test_openmic_never_unpickles(make, tmp_path):
    root = make("openmic")
    flag = tmp_path / "executed"
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        content = {name: file[name] for name in file.files}
    # The keys are all there, so that reading succeeds, with code among them that must not run.
    keys = np.empty(4, dtype=object)
    keys[:] = list(content["sample_key"])
    keys[0] = [keys[0], Bomb(flag)]
    np.savez(root / "openmic-2018.npz", **content | {"sample_key": keys})
    assert len(collections.read("openmic", root)) == 4
    assert not flag.exists()
    for name in ("Y_true", "Y_mask"):
        bad = np.empty((4, 20), dtype=object)
        bad[0, 0] = Bomb(flag)
        np.savez(root / "openmic-2018.npz", **content | {name: bad})
        with pytest.raises(DataError, match=f"{name} holds pickled Python objects"):
            collections.read("openmic", root)
    assert not flag.exists()
    with np.load(root / "openmic-2018.npz", allow_pickle=True) as file:
        assert file["Y_mask"].shape == (4, 20)
    assert flag.exists(), "the file is what it is meant to be: NumPy itself runs the code"


def test_openmic_damaged_pickles(make):
    root = make("openmic")
    path = root / "openmic-2018.npz"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    keys = content["sample_key.npy"]
    for damaged in (keys[:-20], keys[:150], keys[:140] + bytes(reversed(keys[140:])), keys[:20]):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (content | {"sample_key.npy": damaged}).items():
                archive.writestr(name, data)
        with pytest.raises(DataError, match="sample_key|Y_true"):
            collections.read("openmic", root)


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
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


def test_true_arrays(tmp_path):
    rng = np.random.default_rng(0)
    for value in (
        rng.random((3, 4)),
        np.asfortranarray(rng.random((3, 4))),
        np.arange(5, dtype=">i2"),
        np.ones((2, 0, 3)),
    ):
        np.savez_compressed(tmp_path / "x.npz", x=value, other=value)
        np.testing.assert_array_equal(read_member(tmp_path / "x.npz", "x"), value)
        if value.size:
            np.save(tmp_path / "x.npy", value)
            np.testing.assert_array_equal(open_array(tmp_path / "x.npy"), value)
    with pytest.raises(DataError, match="no array 'y' .found: x, other"):
        read_member(tmp_path / "x.npz", "y")
    assert not open_array(tmp_path / "x.npy").flags.writeable


def test_pickled_arrays_do_not_run(tmp_path):
    np.save(tmp_path / "x.npy", np.array([Bomb(tmp_path / "executed")], dtype=object))
    with pytest.raises(DataError, match="pickled Python objects"):
        open_array(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(DataError, match="no .npy file"):
        open_array(tmp_path / "y.npy")
    np.savez(tmp_path / "x.npz", x=np.array(["a", Bomb(tmp_path / "executed")], dtype=object))
    assert "a" in read_texts(tmp_path / "x.npz", "x")
    assert not (tmp_path / "executed").exists()


def test_an_npz_that_unpacks_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_MEMBER", 2_000_000)
    header = npy("(750000,)")
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        file.write(header)
        for _ in range(30):
            file.write(bytes(100_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to 3.0 MB, more than the 2.0 MB"):
        read_member(path, "x")


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_damaged_npz(tmp_path, cut):
    np.savez(tmp_path / "x.npz", x=np.arange(50.0))
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[:cut])
    with pytest.raises(DataError, match="no .npz file, or is damaged"):
        read_member(tmp_path / "x.npz", "x")
    (tmp_path / "x.npz").write_bytes(data[:180] + bytes([data[180] ^ 255]) + data[181:])
    with pytest.raises(DataError):
        read_member(tmp_path / "x.npz", "x")


def test_a_sound_that_lies_about_its_length_gives_what_is_there_or_an_error(make, tmp_path):
    path = make.sound(tmp_path / "x.wav", seconds=1)
    true = decode.read(path, sample_rate=8000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(data)
    try:
        heard = decode.read(path, sample_rate=8000)
    except AudioError as error:
        assert "cut off" in str(error) or "decoded" in str(error)
    else:
        np.testing.assert_array_equal(heard, true)
    flac = make.sound(tmp_path / "x.flac", seconds=4)
    flac.write_bytes(flac.read_bytes()[:-20_000])
    with pytest.raises(AudioError):
        sound_hash(flac)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
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


def untouched(tmp_path, *allowed):
    """Say whether nothing but what was there before lies in the folder."""
    return sorted(path.name for path in tmp_path.iterdir()) == sorted(allowed)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_extracting_tar(tmp_path, mode):
    path = tarred(tmp_path / "x.tar", member("set/", b"", type=tarfile.DIRTYPE), member("set/a.txt", b"1"), mode=mode)
    assert collections.extract(path, tmp_path / "deep" / "out", progress=False) == tmp_path / "deep" / "out"
    assert (tmp_path / "deep" / "out" / "set" / "a.txt").read_bytes() == b"1"
    assert untouched(tmp_path / "deep", "out")
    with pytest.raises(DataError, match="exists"):
        collections.extract(path, tmp_path / "deep" / "out")


def test_extracting_zip(tmp_path):
    content = {"a/b.txt": b"1" * 100, "c.txt": b"", "d\\e.txt": b"2", "__MACOSX/._c": b"x", "f/": b""}
    out = collections.extract(zipped(tmp_path / "x.zip", **content), tmp_path / "out", progress=False)
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found == {"a/b.txt": b"1" * 100, "c.txt": b"", "d/e.txt": b"2"}


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..\\x", "C:\\x", "C:x", "\\\\host\\x", "a\nb", ".."])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_that_leave_the_folder_are_refused_whole(tmp_path, name, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        zipped(path, **{"good.txt": b"1", name: b"2"})
    else:
        tarred(path, member("good.txt"), member(name))
    with pytest.raises(DataError, match="leaves the folder|control characters"):
        collections.extract(path, tmp_path / "out", progress=False)
    assert untouched(tmp_path, path.name)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tarred(tmp_path / "x.tar", member("good.txt"), member("bad", b"", type=kind, linkname="/etc/passwd"))
    with pytest.raises(DataError, match="'bad', a link or device"):
        collections.extract(path, tmp_path / "out", progress=False)
    assert untouched(tmp_path, "x.tar")


def test_links_in_zips_are_refused(tmp_path):
    info = zipfile.ZipInfo("bad")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="'bad', a link or device"):
        collections.extract(tmp_path / "x.zip", tmp_path / "out", progress=False)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "_SMALL", 1_000_000)
    zeros = bytes(200_000)
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(60):
                archive.writestr(f"{i}", zeros)
    else:
        tarred(path, *(member(f"{i}", zeros) for i in range(60)))
    with pytest.raises(DataError, match="unpacks to more than [1-4].. MB"):
        collections.extract(path, tmp_path / "out", progress=False)
    assert untouched(tmp_path, path.name)
    with pytest.raises(DataError, match="or 5 files"):
        collections.extract(path, tmp_path / "out", most_files=5, progress=False)
    with pytest.raises(DataError, match="more than 300.0 kB"):
        collections.extract(path, tmp_path / "out", most_bytes=300_000, progress=False)
    assert untouched(tmp_path, path.name)


def test_names_that_come_twice_are_refused(tmp_path):
    path = tarred(tmp_path / "x.tar", member("a"), member("A"))
    with pytest.raises(DataError, match="'A' twice"):
        collections.extract(path, tmp_path / "out", progress=False)


def test_damaged_archives(tmp_path):
    good = zipped(tmp_path / "x.zip", a=np.random.default_rng(0).bytes(5000)).read_bytes()
    tar = tarred(tmp_path / "x.tgz", member("a", np.random.default_rng(0).bytes(50_000))).read_bytes()
    (tmp_path / "wrong.zip").write_bytes(good[:2000] + b"\xff" + good[2001:])
    (tmp_path / "cut.tgz").write_bytes(tar[: len(tar) // 2])
    (tmp_path / "no.zip").write_bytes(b"hello")
    for name in ("wrong.zip", "cut.tgz", "no.zip"):
        with pytest.raises(DataError, match=name):
            collections.extract(tmp_path / name, tmp_path / "out", progress=False)
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no archive"):
        collections.extract(tmp_path / "nowhere.zip", tmp_path / "out")


def test_a_sound_written_by_the_converter_is_whole_or_absent(make, tmp_path, monkeypatch):
    root = make("slap-csv")

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        collections.read("slap-csv", root, sample_rate=16000, waves=tmp_path / "waves")
    assert not list((tmp_path / "waves").rglob("*.wav"))


def mutated(data, rng):
    """The bytes with some of them changed, cut off or repeated."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(len(data)))
        kind = rng.integers(3)
        if kind == 0:
            data[place] = rng.integers(256)
        elif kind == 1:
            del data[place : place + int(rng.integers(1, 9))]
        else:
            data[place:place] = data[place : place + int(rng.integers(1, 9))]
    return bytes(data)


def test_damage_anywhere_ends_in_an_error_of_ours(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32))
    keys = np.array(["000046_3840", "000135_483840"], dtype=object)
    np.savez(tmp_path / "x.npz", x=np.arange(6.0), keys=keys)
    zipped(tmp_path / "x.zip", **{"a/b.txt": b"12345" * 9, "c.txt": b"6"})
    tarred(tmp_path / "x.tar", member("a/b.txt", b"12345" * 9), member("c.txt"), mode="w")
    tarred(tmp_path / "x.tgz", member("a/b.txt", b"12345" * 9), member("c.txt"))
    good = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tasks = {
        "x.npy": [open_array],
        "x.npz": [lambda path: read_member(path, "x"), lambda path: read_texts(path, "keys")],
        **dict.fromkeys(
            ("x.zip", "x.tar", "x.tgz"), [lambda path: collections.extract(path, tmp_path / "out", progress=False)]
        ),
    }
    refused = 0
    for name, readings in tasks.items():
        for _ in range(50):
            (tmp_path / name).write_bytes(mutated(good[name], rng))
            for reading in readings:
                try:
                    reading(tmp_path / name)
                except DataError as error:
                    refused += 1
                    assert name in str(error)
            for path in sorted(tmp_path.rglob("*"), reverse=True):  # what was unpacked lies inside, nothing beside it
                assert path.name in good or path.is_relative_to(tmp_path / "out"), path
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 100
