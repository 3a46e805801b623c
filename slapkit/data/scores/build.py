"""Building the score corpus: works to notes, notes to clips, clips to a folder that the `datasets` library reads.

An interrupted build is continued: notes and finished clips are kept, and a journal says which clips are finished. The
corpus is complete when `corpus.json` stands in the folder; it is written last.
"""

from __future__ import annotations

import collections
import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_json, atomic_write_json_lines, sha256_file, write_guard
from slapkit.data.scores.captions import write_captions
from slapkit.data.scores.card import write_card
from slapkit.data.scores.clip import ClipTask, load_soundfont, make_clip
from slapkit.data.scores.config import CLIPS_PER_WORK, CorpusConfig
from slapkit.data.scores.convert import convert_works
from slapkit.data.scores.melody import group_works
from slapkit.data.scores.pool import count_workers, run_tasks
from slapkit.data.scores.render import find_soundfont
from slapkit.data.scores.score import Score
from slapkit.data.scores.splits import choose_works, deal_clips, deal_splits
from slapkit.data.scores.works import list_works
from slapkit.errors import DataError

RECIPE = 5  # raise it when the same settings give another corpus
_CLIP_TIMEOUT_S = 120.0  # a clip takes 0.2 s
_VERSIONED = ("music21", "verovio", "symusic", "midirenderer", "soundfile", "numpy")


def build(
    config: CorpusConfig | str | None = None, root: str | Path = "data", *, progress: bool = True, **values: Any
) -> Path:
    """Build the score corpus, or continue it, or find it complete; return its folder.

    Args:
        config: settings, or a size ("quick", "full", "smoke").
        root: folder that holds data sets; the corpus becomes `<root>/scores-<size>`.
        progress: whether to show progress bars.
        **values: settings by name, in place of `config`: `build(size="smoke", seed=1)`.

    Raises:
        ConfigError: an unknown or unusable setting.
        DataError: the scores or the SoundFont are missing.
        StorageError: the disk is full or does not let us; finished clips are kept.
    """
    if isinstance(config, str):
        values = {"size": config, **values}
        config = None
    config = config.replace(**values) if config is not None else CorpusConfig.from_dict(values)
    soundfont = find_soundfont(config.soundfont)
    identity = _identity(config, sha256_file(soundfont))
    folder = Path(root) / config.folder_name(identity["soundfont_sha256"])
    if is_complete(folder, identity):
        return folder
    with write_guard(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _only_builder(folder):
        if not is_complete(folder, identity):
            _build(config, identity, soundfont, folder, progress)
    return folder


def _identity(config: CorpusConfig, soundfont_sha256: str) -> dict[str, Any]:
    """Return what determines the content of a corpus."""
    settings = {k: v for k, v in config.to_dict().items() if k not in ("workers", "soundfont", "clips")}
    return {"recipe": RECIPE, **settings, "clips": config.n_clips, "soundfont_sha256": soundfont_sha256}


def is_complete(folder: Path, identity: dict[str, Any] | None = None) -> bool:
    """Whether a folder holds a finished corpus (of that identity) with all its audio files at their sizes."""
    try:
        info = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        if identity is not None and info["identity"] != identity:
            return False
        rows = read_rows(folder)
        return len(rows) == info["clips"] and all((folder / r["file_name"]).stat().st_size == r["bytes"] for r in rows)
    except (OSError, ValueError, KeyError):
        return False


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a corpus's `metadata.jsonl`."""
    return [json.loads(line) for line in (Path(folder) / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def verify(folder: str | Path) -> list[str]:
    """Return the audio files whose content is missing or is not what the metadata says."""
    folder = Path(folder)
    return [row["file_name"] for row in read_rows(folder) if not _intact(folder, row)]


def _intact(folder: Path, row: dict[str, Any]) -> bool:
    path = folder / row["file_name"]
    return path.is_file() and path.stat().st_size == row["bytes"] and sha256_file(path) == row["sha256"]


@contextlib.contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in `folder`; the lock goes with the process that held it."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: two builds at once do the same work twice, no harm else
        yield
        return
    with open(folder / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(config: CorpusConfig, identity: dict[str, Any], soundfont: Path, folder: Path, progress: bool) -> None:
    workers = count_workers(config.workers)
    done = _resume(folder, identity)
    works = {work.id: work for work in choose_works(list_works(), config.n_clips // CLIPS_PER_WORK, config.seed)}
    cache = folder.parent / ".notes"
    paths, failures = convert_works(list(works.values()), cache, workers=workers, progress=progress)
    if not paths:
        raise DataError(
            f"none of {len(works)} works could be converted; first reason: {next(iter(failures.values()), '')}"
        )
    scores = {name: Score.read(path) for name, path in paths.items()}
    groups = group_works(scores, {name: works[name].family for name in paths})
    splits = deal_splits(groups, {name: works[name].style for name in paths}, config.seed)
    tasks = [
        ClipTask(
            number=number,
            split=split,
            works=tuple((works[name], str(paths[name]), groups[name]) for name in names),
            folder=str(folder),
            seed=config.seed,
            clip_s=config.clip_s,
            sample_rate=config.sample_rate,
        )
        for number, (split, names) in enumerate(deal_clips(splits, config.n_clips, config.seed))
    ]
    _make_clips(tasks, done, folder, soundfont, workers, progress)
    _finish(folder, identity, soundfont, tasks, done, {"works": len(paths), "failures": failures})


def _make_clips(
    tasks: Sequence[ClipTask], done: dict[str, Any], folder: Path, soundfont: Path, workers: int, progress: bool
) -> None:
    """Make the clips that are not in `done`, adding each to it and to the journal."""
    from tqdm.auto import tqdm

    left = [task for task in tasks if task.file_name not in done]
    made = run_tasks(
        make_clip,
        left,
        workers=workers,
        timeout_s=_CLIP_TIMEOUT_S,
        initializer=load_soundfont,
        arguments=(str(soundfont),),
    )
    bar = tqdm(
        made, total=len(tasks), initial=len(tasks) - len(left), desc="render clips", unit="clip", disable=not progress
    )
    journal = folder / "journal.jsonl"
    with write_guard(journal), open(journal, "a", encoding="utf-8") as stream:
        for index, result, problem in bar:
            facts, rejected = result if problem is None else (None, [problem])
            name = left[index].file_name
            done[name] = {"name": name, "facts": facts, "rejected": rejected}
            stream.write(json.dumps(done[name], ensure_ascii=False) + "\n")
            stream.flush()


def _resume(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the journal entries of finished, intact clips by file name; drop all else that an older build left."""
    versions = {name: version(name) for name in _VERSIONED}
    header = {"identity": identity, "versions": versions}
    lines: list[Any] = []
    with contextlib.suppress(OSError):
        for line in (folder / "journal.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # the last line may be torn
                lines.append(json.loads(line))
    done: dict[str, Any] = {}
    if lines and lines[0] == header:
        done = {
            e["name"]: e for e in lines[1:] if isinstance(e, dict) and e.get("facts") and _intact(folder, e["facts"])
        }
    else:
        with contextlib.suppress(OSError, ValueError, KeyError):
            info = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
            if info["identity"] == identity and info["versions"] == versions:  # complete once, files lost since
                rejected = info["rejected"]
                done = {row["file_name"]: _entry_of(row, rejected) for row in read_rows(folder) if _intact(folder, row)}
    with write_guard(folder):
        if not done:
            shutil.rmtree(folder / "audio", ignore_errors=True)
        for stale in folder.rglob(".*.tmp"):  # what was being written when an earlier build was killed
            stale.unlink(missing_ok=True)
    entries = [header, *(done[name] for name in sorted(done))]
    atomic_write_json_lines(folder / "journal.jsonl", entries)
    for name in ("corpus.json", "metadata.jsonl"):
        (folder / name).unlink(missing_ok=True)
    return done


def _entry_of(row: dict[str, Any], rejected: dict[str, list[str]]) -> dict[str, Any]:
    """Return the journal entry of a clip from its line in the metadata and the rejected draws by file name."""
    facts = {key: value for key, value in row.items() if key not in ("captions", "caption_frames")}
    return {"name": row["file_name"], "facts": facts, "rejected": rejected.get(row["file_name"], [])}


def _finish(
    folder: Path,
    identity: dict[str, Any],
    soundfont: Path,
    tasks: Sequence[ClipTask],
    done: dict[str, Any],
    made: dict[str, Any],
) -> None:
    """Write captions, metadata, card and `corpus.json`, in this order; then the journal has done its work."""
    entries = [done[task.file_name] for task in tasks]
    facts = [entry["facts"] for entry in entries if entry["facts"]]
    rows = []
    for clip, (captions, frames) in zip(facts, write_captions(facts, identity["seed"]), strict=True):
        names = ("file_name", "split")
        first = {name: clip[name] for name in names}
        rows.append(
            {
                **first,
                "captions": captions,
                "caption_frames": frames,
                **{k: v for k, v in clip.items() if k not in names},
            }
        )
    if not rows:
        raise DataError(f"no clip could be made; first reasons: {entries[0]['rejected'][:3]}")
    for split in sorted({row["split"] for row in rows}):
        # The datasets library looks for the table of a split beside its files, with names from there.
        part = [{**row, "file_name": Path(row["file_name"]).name} for row in rows if row["split"] == split]
        atomic_write_json_lines(folder / "audio" / split / "metadata.jsonl", part)
    metadata = atomic_write_json_lines(folder / "metadata.jsonl", rows)
    info = {
        "name": folder.name,
        "clips": len(rows),
        "fingerprint": sha256_file(metadata),
        "identity": identity,
        "soundfont": soundfont.name,
        "versions": {name: version(name) for name in _VERSIONED},
        "splits": dict(collections.Counter(row["split"] for row in rows)),
        "works": made["works"],
        "groups": len({row["group"] for row in rows}),
        "failed_works": made["failures"],
        "failed_clips": {e["name"]: e["rejected"][-1:] for e in entries if not e["facts"]},
        "rejected": {e["name"]: e["rejected"] for e in entries if e["rejected"]},
        "rejected_draws": dict(collections.Counter(reason for e in entries for reason in e["rejected"]).most_common()),
    }
    write_card(folder, info, rows)
    atomic_write_json(folder / "corpus.json", info)
    (folder / "journal.jsonl").unlink(missing_ok=True)
