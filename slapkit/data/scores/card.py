"""The data card of a corpus: where it comes from, on what terms, how it was made, and what is in it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from slapkit._io import atomic_write_text

_SPLITS = ("train", "validation", "test", "shift")


def write_card(folder: Path, info: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `README.md` into a corpus folder."""
    parts = {split: [row for row in rows if row["split"] == split] for split in _SPLITS}
    parts = {split: part for split, part in parts.items() if part}
    splits = []
    for split, part in parts.items():
        works, groups = (len({row[key] for row in part}) for key in ("work", "group"))
        splits.append((split, len(part), works, groups, sum(len(row["captions"]) for row in part)))
    values = {name: info[name] for name in ("name", "clips", "works", "groups")}
    missing = "".join(f"- {font} was not found: sounds vary less.\n" for font in info["missing_soundfonts"]) + "\n"
    template = (files("slapkit.data.scores") / "card.md").read_text(encoding="utf-8")
    text = template.format(
        **values,
        captions=sum(len(row["captions"]) for row in rows),
        clip_s=info["identity"]["clip_s"],
        rate=info["identity"]["sample_rate"],
        seed=info["identity"]["seed"],
        used=len({row["work"] for row in rows}),
        asked=info["works"] + len(info["failed_works"]),
        failed=len(info["failed_works"]),
        rejected=", ".join(f"{reason} {count}" for reason, count in info["rejected_draws"].items()) or "none",
        columns=", ".join(f"`{name}`" for name in rows[0]),
        splits=_table(("split", "clips", "works", "groups", "captions"), splits),
        missing=missing,
        **{f"{fact}s": _counts(fact, rows, parts) for fact in ("style", "soundfont", "room")},
    )
    atomic_write_text(folder / "README.md", text)


def _counts(fact: str, rows: Sequence[Mapping[str, Any]], parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a table of how many clips have each value of a fact, in all and by split."""
    counts = [
        (value, count, *(sum(row[fact] == value for row in part) for part in parts.values()))
        for value, count in Counter(row[fact] for row in rows).most_common()
    ]
    return _table((fact, "clips", *parts), counts)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = [head, ["---"] * len(head), *([f"{v:,}" if isinstance(v, int) else v for v in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
