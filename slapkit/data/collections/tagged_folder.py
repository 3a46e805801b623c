"""Any folder of music whose files carry tags: title, artist, album, genre and year become facts.

Nothing is made up: there are no captions, and no splits, which `slapkit.data.make_splits` gives.
"""

from __future__ import annotations

import os

from slapkit.config import require
from slapkit.data import AudioTextDataset
from slapkit.data.collections.layout import Layout, Taking, open_folder
from slapkit.errors import DataError

LAYOUT = Layout("tagged-folder", "a folder of tagged music", "your own shelves: sound files with their tags")
GROUPS = ("artist", "album", "clip")


def read(folder: str | os.PathLike[str], *, group: str = "artist") -> AudioTextDataset:
    """Read a folder of sound files with their tags.

    Args:
        folder: searched in any depth; hidden files and what links lead out of it stay out.
        group: what must not be divided between splits: the "artist", the "album" or each "clip". A file without that
            tag is a group of its own.

    Raises:
        ConfigError: `group` is none of the three.
        DataError: the folder is missing, has a table that says more (read it with `slapkit.data.read`), or holds no
            usable sound.
    """
    from slapkit.data.scan import has_table, scan, tags

    require(group in GROUPS, "group", group, f"one of {', '.join(GROUPS)}")
    folder = open_folder(folder, LAYOUT)
    if has_table(folder):
        raise DataError(
            f"{folder} has a table of its sounds: read it as layout 'table', which knows captions and splits"
        )
    taking = Taking(folder, LAYOUT)
    sources, failures = scan(folder)
    for failure in failures:
        taking.skip(0, failure.file, failure.reason)
    for source in sources:
        facts = tags(source.path)
        owner = facts.get(group)
        taking.take(0, source.file, facts=facts, group=f"{group} {owner}" if owner else None)
    return taking.dataset()
