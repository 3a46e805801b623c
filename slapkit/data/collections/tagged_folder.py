"""Any folder of music whose files carry tags: title, artist, album, genre and year become facts.

There are no captions, and no splits: `slapkit.data.make_splits` makes them.
"""

import os

from slapkit.config import require
from slapkit.data.collections.layout import Collection, Layout
from slapkit.data.dataset import AudioTextDataset
from slapkit.data.scan import has_table, scan, tags
from slapkit.errors import DataError

LAYOUT = Layout("tagged-folder", "a folder of tagged music", "your own shelves: audio files with their tags")
GROUPS = ("artist", "album", "clip")


def read(folder: str | os.PathLike[str], *, group: str = "artist") -> AudioTextDataset:
    """Read a folder of audio files with their tags.

    Args:
        folder: searched in any depth; hidden files and links that leave it are left out.
        group: what must not be divided between splits: the "artist", the "album" or each "clip". A file without that
            tag is a group of its own.
    """
    require(group in GROUPS, "group", group, f"one of {', '.join(GROUPS)}")
    collection = Collection(folder, LAYOUT)
    if has_table(collection.root):
        raise DataError(f"{folder} has a table: read it as layout 'table', which knows captions and splits")
    sources, failures = scan(collection.root)
    for failure in failures:
        collection.skip(0, failure.file, failure.reason)
    for source in sources:
        facts = tags(source.path)
        value = facts.get(group)
        collection.add(0, [source.file], facts=facts, group=f"{group} {value}" if value else None)
    return collection.dataset()
