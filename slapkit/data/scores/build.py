"""Building the score corpus: works to notes, notes to clips, clips to a folder that the `datasets` library reads.

An interrupted build is continued: notes and finished clips are kept, and a hidden journal lists the finished clips. A
corpus is complete when its folder holds `corpus.json`, which is written last.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slapkit import _io
from slapkit._cores import available_cores
from slapkit._pool import run_tasks
from slapkit.data.scores.captions import write_captions
from slapkit.data.scores.card import write_card
from slapkit.data.scores.config import CLIPS_PER_WORK, CorpusConfig
from slapkit.data.scores.convert import convert_works
from slapkit.data.scores.melody import group_works
from slapkit.data.scores.render import ClipTask, make_clip
from slapkit.data.scores.score import Score
from slapkit.data.scores.soundfonts import Fonts, find_fonts
from slapkit.data.scores.splits import choose_works, deal_clips, deal_splits
from slapkit.data.scores.synth import renderer
from slapkit.data.scores.works import list_works
from slapkit.errors import ConfigError, DataError, need_extra

RECIPE = 12  # raise it when the same settings give another corpus
_CLIP_TIMEOUT_S = 120.0  # a clip takes 0.2 s
_JOURNAL = ".journal.jsonl"
_VERSIONED = ("music21", "verovio", "symusic", "soundfile", "numpy", "scipy")


def build(
    config: CorpusConfig | str | None = None, root: str | Path = "data", *, progress: bool = True, **values: Any
) -> Path:
    """Build the score corpus, or continue it, or find it complete; return its folder.

    Args:
        config: settings, or a size ("quick", "medium", "full", "smoke").
        root: folder that holds data sets; the corpus becomes `<root>/scores-<size>`.
        values: settings by name: `build(size="smoke", seed=1)`.

    Raises:
        ConfigError: an unknown or unusable setting.
        MissingExtraError: the packages of `slapkit[corpus]` are missing.
        DataError: the scores or a SoundFont that was named are missing.
        StorageError: the folder cannot be written; finished clips are kept.
    """
    need_extra("corpus", "music21", "pretty_midi", "symusic", "verovio", "midirenderer")
    if isinstance(config, str):
        config, values = None, {"size": config, **values}
    config = config.replace(**values) if config is not None else CorpusConfig.from_dict(values)
    fonts = find_fonts(config.soundfonts, config.unseen_soundfont)
    identity = _identity(config, fonts)
    named = json.dumps([identity["soundfonts"], identity["unseen_soundfont"]])
    folder = Path(root) / config.folder_name(hashlib.sha256(named.encode()).hexdigest())
    if is_complete(folder, identity):
        return folder
    with _io.locked(folder / ".lock", wait=f"another process builds {folder.name}", progress=progress):
        if not is_complete(folder, identity):
            _build(config, identity, fonts, folder, progress)
    return folder


def _identity(config: CorpusConfig, fonts: Fonts) -> dict[str, Any]:
    """Return what determines the content of a corpus."""
    settings = {k: v for k, v in config.to_dict().items() if k not in ("workers", "clips")}
    hashes = {path: _io.sha256_file(path) for path in (*fonts.seen, fonts.unseen) if path}
    if fonts.unseen and hashes[fonts.unseen] in [hashes[path] for path in fonts.seen]:
        raise ConfigError(f"unseen_soundfont={str(fonts.unseen)!r} is one that training uses too")
    settings["soundfonts"] = [[path.stem, hashes[path]] for path in fonts.seen]
    settings["unseen_soundfont"] = [fonts.unseen.stem, hashes[fonts.unseen]] if fonts.unseen else []
    return {"recipe": RECIPE, "renderer": renderer(), **settings, "clips": config.n_clips}


def is_complete(folder: Path, identity: dict[str, Any] | None = None) -> bool:
    """Whether a folder holds a finished corpus (of that identity) with all its audio files at their sizes."""
    try:
        info = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        rows = read_rows(folder)
        return (
            (identity is None or info["identity"] == identity)
            and len(rows) == info["clips"]
            and all((folder / row["file_name"]).stat().st_size == row["bytes"] for row in rows)
        )
    except (OSError, ValueError, KeyError):
        return False


def read_rows(folder: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a corpus's `metadata.jsonl`."""
    text = (Path(folder) / "metadata.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]  # a title may hold other signs that end lines


def verify(folder: str | Path) -> list[str]:
    """Return the audio files whose content is missing or is not what the metadata says."""
    return [row["file_name"] for row in read_rows(folder) if not _intact(Path(folder), row)]


def _intact(folder: Path, row: dict[str, Any]) -> bool:
    path = folder / row["file_name"]
    return path.is_file() and path.stat().st_size == row["bytes"] and _io.sha256_file(path) == row["sha256"]


def _build(config: CorpusConfig, identity: dict[str, Any], fonts: Fonts, folder: Path, progress: bool) -> None:
    workers = config.workers or available_cores()
    versions = {name: version(name) for name in (*_VERSIONED, identity["renderer"])}
    done = _resume(folder, {"identity": identity, "versions": versions}, progress)
    works = {work.id: work for work in choose_works(list_works(), config.n_clips // CLIPS_PER_WORK, config.seed)}
    cache = folder.parent / ".notes"
    paths, failures = convert_works(list(works.values()), cache, workers=workers, progress=progress)
    if not paths:
        reason = next(iter(failures.values()), "")
        raise DataError(f"none of {len(works)} works could be converted; first reason: {reason}")
    groups = group_works(
        {name: Score.read(path) for name, path in paths.items()}, {name: works[name].family for name in paths}
    )
    splits = deal_splits(groups, {name: works[name].kind for name in paths}, config.seed)
    tasks = [
        ClipTask(number, split, shifted, tuple((works[n], paths[n], groups[n]) for n in names), folder, fonts, config)
        for number, (split, names, shifted) in enumerate(deal_clips(splits, config.n_clips, config.seed))
    ]
    _make_clips(tasks, done, folder / _JOURNAL, workers, progress)
    entries = [done[task.name] for task in tasks]
    rows = _write_metadata(folder, entries, config.seed)
    info = {
        "name": folder.name,
        "clips": len(rows),
        "identity": identity,
        "missing_soundfonts": fonts.missing,
        "versions": versions,
        "splits": Counter(row["split"] for row in rows),
        "works": len(paths),
        "groups": len({row["group"] for row in rows}),
        "failed_works": failures,
        "failed_clips": {entry["name"]: entry["rejected"][-1:] for entry in entries if not entry["facts"]},
        "rejected_draws": dict(Counter(reason for entry in entries for reason in entry["rejected"]).most_common()),
    }
    write_card(folder, info, rows)
    _io.atomic_write_json(folder / "corpus.json", info)


def _resume(folder: Path, header: dict[str, Any], progress: bool) -> dict[str, Any]:
    """Return the journal entries of finished, intact clips by file name; remove what another build left.

    The journal begins with `header`: entries of other settings or versions do not count.
    """
    from tqdm.auto import tqdm

    lines, _ = _io.read_json_lines(folder / _JOURNAL)
    entries = lines[1:] if lines and lines[0] == header else []
    entries = tqdm(entries, "check clips", unit="clip", disable=not progress, delay=1)
    intact = (e for e in entries if e["facts"] and all(_intact(folder, facts) for facts in e["facts"]))
    done = {entry["name"]: entry for entry in intact}
    with _io.write_guard(folder):
        if not done:
            shutil.rmtree(folder / "audio", ignore_errors=True)
        for stale in folder.rglob(".*.tmp"):  # what was being written when an earlier build was killed
            stale.unlink(missing_ok=True)
        for name in ("corpus.json", "metadata.jsonl"):
            (folder / name).unlink(missing_ok=True)
    _io.atomic_write_json_lines(folder / _JOURNAL, [header, *(done[name] for name in sorted(done))])
    return done


def _make_clips(tasks: Sequence[ClipTask], done: dict[str, Any], journal: Path, workers: int, progress: bool) -> None:
    """Make the clips that are not in `done`, adding each to it and to the journal."""
    from tqdm.auto import tqdm

    left = [task for task in tasks if task.name not in done]
    made = run_tasks(make_clip, left, workers=workers, timeout_s=_CLIP_TIMEOUT_S)
    made = tqdm(made, "render clips", len(tasks), initial=len(tasks) - len(left), unit="clip", disable=not progress)
    with _io.write_guard(journal), open(journal, "a", encoding="utf-8") as stream:
        for index, result, problem in made:
            facts, rejected = result if problem is None else ([], [problem])
            name = left[index].name
            done[name] = {"name": name, "facts": facts, "rejected": rejected}
            stream.write(json.dumps(done[name], ensure_ascii=False) + "\n")
            stream.flush()


def _write_metadata(folder: Path, entries: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Write captions and facts of the clips, for each split and for all; return the rows."""
    sounds = [entry["facts"] for entry in entries if entry["facts"]]
    if not sounds:
        raise DataError(f"no clip could be made; first reasons: {entries[0]['rejected'][:3]}")
    captions = write_captions([first for first, *_ in sounds], seed)
    rows = [
        {"file_name": clip["file_name"], "split": clip["split"]} | columns | clip
        for again in range(2)  # what is rendered a second time keeps its captions
        for clips, columns in zip(sounds, captions, strict=True)
        for clip in clips[again : again + 1]
    ]
    for split in sorted({row["split"] for row in rows}):
        # The datasets library looks for the table of a split beside its files, with names from there.
        part = [row | {"file_name": Path(row["file_name"]).name} for row in rows if row["split"] == split]
        _io.atomic_write_json_lines(folder / "audio" / split / "metadata.jsonl", part)
    _io.atomic_write_json_lines(folder / "metadata.jsonl", rows)
    return rows
