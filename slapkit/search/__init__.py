"""Searching a folder of music by describing it.

    library = Library.build("music", "runs/02_train/slap-...")   # once; later calls take in what changed
    library.search("slow flute + strings - drums", k=10)         # -> DataFrame

`scan` finds files, `embed` hears them, `store` keeps their vectors, `sync` does this for what changed; `ranking`,
`filters` and `query` find tracks, `listen` gives their sound; `marks` keeps what a listener found relevant too.
"""

from slapkit.search.library import Library, Track
from slapkit.search.listen import Picture

__all__ = ["Library", "Picture", "Track"]
