"""Audio-text data sets: clips with captions, facts and splits, read from a folder and its table."""

from slapkit.datasets.collection import AudioTextDataset, Clip, Problem
from slapkit.datasets.reader import read
from slapkit.datasets.splitting import make_splits
from slapkit.datasets.writer import write_table

__all__ = ["AudioTextDataset", "Clip", "Problem", "make_splits", "read", "write_table"]
