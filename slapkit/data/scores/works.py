"""The candidate works: every score file of the music21 package, and every tune of its abc collections.

The package is found on the disk without being imported (its import takes seconds and is not needed: the files are
converted by verovio). A work is a piece that stands alone: a file, or one tune of an abc file that holds many.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

from slapkit.errors import DataError

# What is not a piece of music (exercises, layout demonstrations), or too short and atonal to be told by our captions.
_SKIPPED = {"theoryExercises", "demos", "schoenberg", "webern", "__pycache__", "_metadataCache"}
_SUFFIXES = {".krn", ".mxl", ".xml", ".musicxml", ".abc"}

_STYLE_OF_FOLDER = {
    "palestrina": "mass",
    "luca": "mass",
    "josquin": "motet",
    "lusitano": "madrigal",
    "monteverdi": "madrigal",
    "trecento": "medieval",
    "ciconia": "medieval",
    "corelli": "baroque",
    "handel": "baroque",
    "cpebach": "baroque",
    "haydn": "classical",
    "mozart": "classical",
    "beethoven": "classical",
    "airdsAirs": "scottish air",
    "oneills1850": "irish air",
    "ryansMammoth": "fiddle tune",
    "joplin": "ragtime",
    "leadSheet": "popular song",
    "liliuokalani": "popular song",
    "johnson_j_r": "popular song",
    "miscFolk": "english folk",
}
# Dances named in the R: field of an abc tune; the first that occurs in the field counts.
_DANCES = ("slip jig", "slipjig", "jig", "reel", "hornpipe", "clog", "strathspey", "fling", "waltz", "march", "slide")
_DANCE_STYLE = {"slipjig": "slip jig", "slide": "jig", "clog": "hornpipe", "fling": "strathspey"}


@dataclasses.dataclass(frozen=True)
class Work:
    """One piece: where it is, what it is called, and which other pieces it must stay together with."""

    id: str  # path inside the corpus, and `#n` for the n-th tune of an abc file
    collection: str
    style: str
    title: str
    family: str  # pieces of one mass, quartet or motet share it, and never part between splits
    path: str
    text: str | None = None  # the abc text of one tune, else None


def corpus_folder() -> Path:
    """Return the folder of scores inside the installed music21 package.

    Raises:
        DataError: music21 is not installed, or was installed without its scores.
    """
    found = importlib.util.find_spec("music21")
    if found is None or found.origin is None:
        raise DataError("the scores come with the music21 package, which is not installed: pip install music21")
    folder = Path(found.origin).parent / "corpus"
    if not (folder / "bach").is_dir():
        raise DataError(
            f"{folder} holds no scores: reinstall music21 from its wheel (pip install --force-reinstall music21)"
        )
    return folder


def decode_text(raw: bytes) -> str:
    """Return a score file as text whatever its encoding; an XML declaration that names another one is replaced."""
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return re.sub(r"^\s*<\?xml[^>]*\?>", '<?xml version="1.0"?>', text)


def list_works(folder: str | Path | None = None) -> list[Work]:
    """Return all works under `folder` (default: music21's scores), sorted by id.

    Raises:
        DataError: no score is found there.
    """
    folder = Path(folder) if folder is not None else corpus_folder()
    works: list[Work] = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.suffix not in _SUFFIXES or _SKIPPED & set(relative.parts):
            continue
        works += _tunes(path, relative) if path.suffix == ".abc" else [_piece(path, relative)]
    if not works:
        raise DataError(f"no score (.krn, .mxl, .xml, .musicxml, .abc) under {folder}")
    return works


def _collection(relative: Path) -> str:
    return relative.parts[0] if len(relative.parts) > 1 else "user"


def _piece(path: Path, relative: Path) -> Work:
    """Return the work of a file that holds one piece."""
    collection = _collection(relative)
    style = _STYLE_OF_FOLDER.get(collection, "romantic")
    if collection == "bach":
        style = "chorale" if path.stem.startswith("bwv") else "baroque"
    title, family = path.stem, relative.with_suffix("").as_posix()
    if len(relative.parts) > 2:  # movements of one opus lie in one folder
        title, family = f"{relative.parent.name} {path.stem}", relative.parent.as_posix()
    if collection == "palestrina":
        fields = dict(re.findall(r"(?m)^!!!(OPR|OTL)[^:]*:\s*(.*?)\s*$", decode_text(path.read_bytes())))
        mass = fields.get("OPR", "")
        title = f"{mass}: {fields.get('OTL', path.stem)}".strip(": ")
        family = f"palestrina/{mass or path.stem}"
    return Work(relative.as_posix(), collection, style, title, family, str(path))


def _tunes(path: Path, relative: Path) -> list[Work]:
    """Return one work for each tune (`X:` field) of an abc file."""
    collection = _collection(relative)
    works = []
    for number, text in enumerate(re.split(r"(?m)^(?=X:)", decode_text(path.read_bytes()))[1:]):
        key = f"{relative.as_posix()}#{number}"
        # The voices of one motet stand as tunes of their own in Josquin's files: the file is the piece.
        family = relative.as_posix() if collection == "josquin" else key
        title = re.search(r"(?m)^T:\s*(.+?)\s*$", text)
        style = _tune_style(collection, path.stem, text)
        works.append(Work(key, collection, style, title[1] if title else key, family, str(path), text))
    return works


def _tune_style(collection: str, stem: str, text: str) -> str:
    """Return the style of an abc tune from its fields: the dance it is, else where it comes from."""
    kind = re.search(r"(?m)^R:\s*(.+?)\s*$", text)
    kind = kind[1].lower() if kind else ""
    if collection == "essenFolksong":
        return _essen_style(stem, kind, text)
    dance = next((dance for dance in _DANCES if dance in kind), None)
    if dance is not None and collection != "josquin":
        return _DANCE_STYLE.get(dance, dance)
    metre = re.search(r"(?m)^M:\s*(\S+)", text)
    metre = metre[1] if metre else ""
    if collection == "oneills1850" and metre in ("9/8", "6/8"):
        return "slip jig" if metre == "9/8" else "jig"
    if stem.startswith("americanfife"):
        return "march"
    return _STYLE_OF_FOLDER.get(collection, "folk song")


def _essen_style(stem: str, kind: str, text: str) -> str:
    origin = re.search(r"(?m)^O:\s*(.+?)\s*$", text)
    if stem.startswith("han") or (origin and "China" in origin[1]):
        return "chinese folk song"
    if stem.startswith("kinder") or "kinder" in kind or "wiegen" in kind:
        return "children's song"
    if stem.startswith("ballad") or "ballade" in kind:
        return "ballad"
    return "folk song"
