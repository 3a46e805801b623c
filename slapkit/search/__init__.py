"""Searching a folder of music by describing it.

library = Library.build("music", "runs/02_train/slap-...")   # once; later calls take in what changed
library.search("slow flute + strings - drums", k=10)         # -> DataFrame
"""

from slapkit.errors import need_extra

need_extra("search", "tinytag")

from slapkit.search.library import Library
from slapkit.search.opening import by_model
