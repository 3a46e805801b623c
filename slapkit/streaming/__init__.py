"""Training from collections larger than memory and disk: sounds are decoded while the model trains, none is kept.

Which clip, caption and window form which pair of which step is a pure function of seed and step (see
`slapkit.training.batches`), so there is no state to lose: after a kill the step's number is enough to go on at the same
pair, each process draws its own part of every batch, and the number of decoding workers changes nothing.

`window` hears one window of a file, `batches` prepares micro-batches ahead in worker processes, `source` is what
training sees in place of a feature store, and `shards` packs many small files into few large ones.
"""

from slapkit.streaming.shards import read_shards, write_shards
from slapkit.streaming.source import StreamConfig, StreamStore

__all__ = ["StreamConfig", "StreamStore", "read_shards", "write_shards"]
