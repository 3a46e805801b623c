"""Published collections of music as they are published, each read into an `AudioTextDataset` with its official splits.

    from slapkit.data import collections
    dataset = collections.read("gtzan", "music/gtzan")     # or "auto", which goes by what lies there
    dataset.split("test").to_pandas()

Labels are facts: `genre` (GTZAN), `tags` (MagnaTagATune, MusicCaps), `instruments` and `instruments_known` (OpenMIC).
Every clip has a group (artist, track or video), which bootstraps draw as a whole. Nothing is fetched, nothing is
executed, and no name in a table leads out of its folder.
"""

from slapkit.data.collections.archives import extract
from slapkit.data.collections.reading import LAYOUTS, detect, read
