"""The score corpus: real scores, arranged and rendered to audio on this machine, with captions made from the facts.

    from slapkit.data import scores
    folder = scores.build("quick", root="data")     # 2,500 clips; complete and unchanged: returns at once

Captions are made by a phrase bank, audio by a SoundFont: see `data/README.md` for source and terms.
"""

from slapkit.data.scores.build import build, is_complete, read_rows, verify
from slapkit.data.scores.config import CorpusConfig
