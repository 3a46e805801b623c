"""Data sets as the `datasets` library keeps them, Parquet files or what `save_to_disk` wrote, and those of the Hugging
Face hub.

The bytes of their sounds are written once, as files beside a table, and that folder is read as any other. `datasets`
(the extra `hf`) reads them without decoding, so that torchcodec is not needed.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_bytes, atomic_write_json, atomic_write_json_lines, locked, project_root
from slapkit.audio.decode import AUDIO_SUFFIXES
from slapkit.config import nearest
from slapkit.data.frames import fact_name, package, plain
from slapkit.data.tables import CAPTION_COLUMNS
from slapkit.errors import DataError, SlapkitError, short

PREFIX = "hf:"  # begins the name of a data set on the hub, "hf:owner/name"
_SAVED = ("dataset_dict.json", "state.json")
_BEGINS = {b"fLaC": ".flac", b"OggS": ".ogg", b"RIFF": ".wav", b"ID3\x03": ".mp3", b"ID3\x04": ".mp3"}
_UNSAFE = re.compile(r"[^\w-]+")


def fetch(name: str, *, progress: bool = True) -> Path:
    """Return the folder with the files of `hf:owner/name` or `hf:owner/name@revision`, downloaded where they are not in
    the hub's cache; raise `DataError` where that fails."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    (enable_progress_bars if progress else disable_progress_bars)()
    try:
        return Path(snapshot_download(repository, repo_type="dataset", revision=revision or None))
    except Exception as error:  # the hub's, the network's and the disk's, of many classes
        remedy = "check the name (hf:owner/name) and the network, or name the folder of a copy"
        raise DataError(f"{short(name)} cannot be fetched: {str(error)[:300]}; {remedy}") from error


def kind_of(path: Path) -> str | None:
    """Return the name of the file that shows that a folder or file is read through `datasets`, or None."""
    if path.is_file():
        return path.name if path.suffix == ".parquet" else None
    saved = next((name for name in _SAVED if (path / name).is_file()), None)
    return saved or next((found.relative_to(path).as_posix() for found in sorted(path.rglob("*.parquet"))), None)


def unpack(
    path: Path, *, audio: str | None = None, caption: str | None = None, config: str | None = None,
    progress: bool = True,
) -> tuple[Path, list[str]]:  # fmt: skip
    """Return the folder that holds the sounds of a data set as files, and notes.

    It lies in the project's `data/hf/`, named for the data set and its content, and is written where it is not there.

    Args:
        audio, caption: columns; by default the only one that holds sounds, and the first of `CAPTION_COLUMNS`.
        config: which of several data sets in one place.

    Raises:
        DataError: `datasets` cannot read it, or a column is missing.
        MissingExtraError: `datasets` is not installed.
        StorageError: the folder cannot be written.
    """
    folder = project_root() / "data" / "hf" / f"{name_of(path)}-{_digest(path, [audio, caption, config])[:8]}"
    about = folder / "about.json"  # written last
    with locked(folder.with_name(f".{folder.name}.lock"), wait="Waiting for another process", progress=progress):
        if not about.is_file():
            notes = _write(_opened(path, config), folder, audio, caption, progress)
            atomic_write_json(about, {"source": str(path), "notes": notes})
    notes = json.loads(about.read_text("utf-8"))["notes"]
    return folder, [*notes, f"its sounds are kept as files in {folder}"]


def _digest(path: Path, options: list[str | None]) -> str:
    """Return a hash of the names, sizes and times of the files that a data set consists of."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [(p.name if p == path else p.relative_to(path).as_posix(), p.stat()) for p in files]
    found = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    return hashlib.sha256(json.dumps([found, options]).encode()).hexdigest()


def name_of(path: Path) -> str:
    """Return what a data set is called: owner and name for a snapshot in the hub's cache."""
    path = path.absolute()  # "." has no name
    named = next((part.name[10:] for part in (path, *path.parents) if part.name.startswith("datasets--")), path.stem)
    return _UNSAFE.sub("-", named)


def _opened(path: Path, config: str | None) -> dict[str, Any]:
    """Return the splits of a data set, which give their rows in order; "" for one without splits."""
    datasets = package()
    try:
        if path.is_dir() and any((path / name).is_file() for name in _SAVED):
            found = datasets.load_from_disk(str(path))
        elif path.is_file():
            found = datasets.load_dataset("parquet", data_files=str(path), streaming=True)["train"]
        else:
            found = datasets.load_dataset(str(path), config, streaming=True)
    except Exception as error:  # of many classes: what the files are is up to strangers
        raise DataError(f"{path} cannot be read by `datasets`: {type(error).__name__}: {str(error)[:500]}") from error
    return dict(found) if isinstance(found, dict) else {"": found}


def _write(splits: dict[str, Any], folder: Path, audio: str | None, caption: str | None, progress: bool) -> list[str]:
    """Write sounds and table, and return notes. A file that is there already is one that a kill left behind."""
    from tqdm.auto import tqdm

    rows, notes = [], {}
    for split, dataset in splits.items():
        features = dataset.features or {}
        sound, words = _columns(features, audio, caption)
        facts = {name: kind for name, kind in features.items() if name not in (sound, words) and _is_fact(kind)}
        left = sorted(features.keys() - facts.keys() - {sound, words})
        notes |= {f"columns without facts were left out: {', '.join(left)}": None} if left else {}
        bar = tqdm(desc=f"Writing sounds {split}", unit="clip", disable=not progress, delay=1)
        for number, row in enumerate(_rows(dataset, sound, folder)):
            row["file_name"] = _write_sound(row.pop(sound), folder, split or "all", number)
            texts = row.pop(words)
            given = {"file_name": row["file_name"], "captions": texts if isinstance(texts, list) else [texts]}
            given |= {"split": split} if split else {}
            known = {fact_name(name, given): _named(row[name], kind) for name, kind in facts.items()}
            rows.append(plain(known | given))
            bar.update()
        bar.close()
    if not rows:
        raise DataError(f"the data set to keep in {folder} has no rows")
    atomic_write_json_lines(folder / "metadata.jsonl", rows)
    return list(notes)


def _columns(features: Mapping[str, Any], audio: str | None, caption: str | None) -> tuple[str, str]:
    """Return the names of the columns with sounds and captions."""
    for name in (audio, caption):
        if name is not None and name not in features:
            raise DataError(f"there is no column {short(name)}: {nearest(name, features)}")
    typed = [name for name, kind in features.items() if type(kind).__name__ == "Audio"]
    sounds = [audio] if audio else typed or [name for name, kind in features.items() if _holds_bytes(kind)]
    texts = [name for name in CAPTION_COLUMNS if name in features] if caption is None else [caption]
    found = ", ".join(features) or "none"
    if len(sounds) != 1:
        words = f"several columns hold bytes ({', '.join(sounds)})" if sounds else "no column holds bytes of sounds"
        raise DataError(f"{words} (found: {found}): name one, read(..., audio=...)")
    if not texts:
        expected = ", ".join(CAPTION_COLUMNS)
        raise DataError(f"no column of captions ({expected}; found: {found}): name one, read(..., caption=...)")
    return sounds[0], texts[0]


def _holds_bytes(kind: Any) -> bool:
    return _is_binary(kind) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def _is_binary(kind: Any) -> bool:
    return getattr(kind, "dtype", "") in ("binary", "large_binary")


def _is_fact(kind: Any) -> bool:
    """Say whether values of a column are numbers, texts, labels or lists of them."""
    kind = getattr(kind, "feature", kind)
    return type(kind).__name__ in ("Value", "ClassLabel") and not _is_binary(kind)


def _named(value: Any, kind: Any) -> Any:
    """Return the name of a label, or of labels; other values as they are."""
    one = getattr(kind, "feature", kind)
    if type(one).__name__ != "ClassLabel" or value is None:
        return value
    name = lambda label: one.int2str(label) if label is not None and label >= 0 else None  # noqa: E731
    return [name(label) for label in value] if isinstance(value, list) else name(value)


def _rows(dataset: Any, sound: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield rows whose sounds are not decoded."""
    if type(dataset.features[sound]).__name__ == "Audio":
        dataset = dataset.cast_column(sound, package().Audio(decode=False))
    try:
        yield from map(dict, dataset)
    except ImportError as error:  # `datasets` makes a column of names into one of sounds by torchcodec
        raise SlapkitError(f"{error}: or write metadata.jsonl beside the sounds, which is read without") from error
    except (ValueError, OSError) as error:  # pyarrow's errors are among them
        raise DataError(f"a part of {folder.name} is damaged: {type(error).__name__}: {str(error)[:300]}") from error


def _write_sound(value: Any, folder: Path, split: str, number: int) -> str | None:
    """Write the bytes of a sound, and return the file's name; None where there are none."""
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if not isinstance(data, bytes):
        return None
    path = Path(path or "")
    suffix = path.suffix.lower() if path.suffix.lower() in AUDIO_SUFFIXES else _BEGINS.get(data[:4], ".mp3")
    stem = _UNSAFE.sub("-", path.stem)[:60].strip("-")
    name = f"{_UNSAFE.sub('-', split)}/{number:06d}{'-' if stem else ''}{stem}{suffix}"
    if not (folder / name).is_file() or (folder / name).stat().st_size != len(data):
        atomic_write_bytes(folder / name, data)
    return name
