"""The candidate works: every score file of the music21 package, and every tune of its abc collections.

The package is found on the disk without being imported: its import takes seconds, and verovio converts the files. A
work is a piece by itself: a file, or one tune of an abc file that holds many.
"""

import dataclasses
import importlib.util
import re
from pathlib import Path

from slapkit.errors import DataError

# What is not a piece of music (exercises, layout demonstrations), is too short or atonal for our captions, or alone.
_SKIPPED = {"theoryExercises", "demos", "schoenberg", "webern", "joplin", "__pycache__", "_metadataCache"}
_SUFFIXES = {".krn", ".mxl", ".xml", ".musicxml", ".abc"}
_FOLDERS = {
    "mass": "palestrina luca", "motet": "josquin", "madrigal": "lusitano monteverdi", "medieval": "trecento ciconia",
    "baroque": "corelli handel cpebach", "classical": "haydn mozart beethoven", "scottish air": "airdsAirs",
    "irish air": "oneills1850", "fiddle tune": "ryansMammoth",
    "popular song": "leadSheet liliuokalani johnson_j_r", "english folk": "miscFolk",
}  # fmt: skip
_KIND_OF_FOLDER = {folder: kind for kind, folders in _FOLDERS.items() for folder in folders.split()}
# Dances named in the R: field of an abc tune; the first that occurs in the field counts.
_DANCES = ("slip jig", "slipjig", "jig", "reel", "hornpipe", "clog", "strathspey", "fling", "waltz", "march", "slide")
_DANCE_KIND = {"slipjig": "slip jig", "slide": "jig", "clog": "hornpipe", "fling": "strathspey"}


@dataclasses.dataclass(frozen=True)
class Work:
    """One piece: where it is, what it is called, and which other pieces it must stay together with."""

    id: str  # path inside the corpus, and `#n` for the n-th tune of an abc file
    collection: str
    kind: str  # of music; what it is played as is drawn for each clip: see `slapkit.data.scores.styles`
    title: str
    family: str  # pieces of one mass, quartet or motet share it, and are never in different splits
    path: str
    text: str | None = None  # the abc text of one tune, else None


def corpus_folder() -> Path:
    """Return the folder of scores inside the installed music21 package.

    Raises:
        DataError: music21 is not installed, or was installed without its scores.
    """
    found = importlib.util.find_spec("music21")
    folder = Path(found.origin).parent / "corpus" if found and found.origin else None
    if folder is None or not (folder / "bach").is_dir():
        raise DataError(
            "the scores come with the music21 package, which is not installed or lacks them: "
            "pip install --force-reinstall music21"
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
        DataError: there is no score.
    """
    folder = Path(folder) if folder is not None else corpus_folder()
    works: list[Work] = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.suffix in _SUFFIXES and not _SKIPPED & set(relative.parts):
            collection = relative.parts[0] if len(relative.parts) > 1 else "user"
            works += (_tunes if path.suffix == ".abc" else _piece)(path, relative, collection)
    if not works:
        raise DataError(f"no score ({', '.join(sorted(_SUFFIXES))}) under {folder}")
    return works


def _piece(path: Path, relative: Path, collection: str) -> list[Work]:
    """Return the work of a file that holds one piece."""
    kind = _KIND_OF_FOLDER.get(collection, "romantic")
    if collection == "bach":
        kind = "chorale" if path.stem.startswith("bwv") else "baroque"
    title, family = path.stem, relative.with_suffix("").as_posix()
    if len(relative.parts) > 2:  # movements of one opus lie in one folder
        title, family = f"{relative.parent.name} {path.stem}", relative.parent.as_posix()
    if collection == "palestrina":
        fields = dict(re.findall(r"(?m)^!!!(OPR|OTL)[^:]*:\s*(.*?)\s*$", decode_text(path.read_bytes())))
        mass = fields.get("OPR", "")
        title = f"{mass}: {fields.get('OTL', path.stem)}".strip(": ")
        family = f"palestrina/{mass or path.stem}"
    return [Work(relative.as_posix(), collection, kind, title, family, str(path))]


def _tunes(path: Path, relative: Path, collection: str) -> list[Work]:
    """Return one work for each tune (`X:` field) of an abc file."""
    works = []
    for number, text in enumerate(re.split(r"(?m)^(?=X:)", decode_text(path.read_bytes()))[1:]):
        key = f"{relative.as_posix()}#{number}"
        # The voices of one motet are tunes of their own in Josquin's files: the file is the piece.
        family = relative.as_posix() if collection == "josquin" else key
        kind = _tune_kind(collection, path.stem, text)
        works.append(Work(key, collection, kind, _field("T", text) or key, family, str(path), text))
    return works


def _field(letter: str, text: str) -> str:
    """Return the first value of a field of an abc tune, or ""."""
    found = re.search(rf"(?m)^{letter}:\s*(.+?)\s*$", text)
    return found[1] if found else ""


def _tune_kind(collection: str, stem: str, text: str) -> str:
    """Return the kind of an abc tune from its fields: the dance it is, else where it comes from."""
    kind = _field("R", text).lower()
    if collection == "essenFolksong":
        if stem.startswith("han") or "China" in _field("O", text):
            return "chinese folk song"
        if stem.startswith("kinder") or "kinder" in kind or "wiegen" in kind:
            return "children's song"
        return "ballad" if stem.startswith("ballad") or "ballade" in kind else "folk song"
    dance = next((dance for dance in _DANCES if dance in kind), None)
    if dance is not None and collection != "josquin":
        return _DANCE_KIND.get(dance, dance)
    metre = (_field("M", text).split() or [""])[0]
    if collection == "oneills1850" and metre in ("9/8", "6/8"):
        return "slip jig" if metre == "9/8" else "jig"
    return "march" if stem.startswith("americanfife") else _KIND_OF_FOLDER.get(collection, "folk song")
