"""Published checkpoints in: other projects' dual encoders as slapkit's own model, so that all else works on them.

`source` says what lies at a path or under a name; `transformers_clap` reads a folder of transformers' `ClapModel`,
`laion` a LAION-CLAP file; `archive` reads torch's files without running anything in them; `published` makes the model;
`starting` lets training begin from any of them.
"""

from slapkit.hub.source import Source, find
from slapkit.hub.starting import convert, load_joint, start_from, with_encoders_of

__all__ = ["Source", "convert", "find", "load_joint", "start_from", "with_encoders_of"]
