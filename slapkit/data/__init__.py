"""Audio-text data sets: clips with captions, facts and splits, read from a folder and its table."""

from slapkit.data import collections
from slapkit.data.dataset import AudioTextDataset, Clip, Problem
from slapkit.data.joining import join
from slapkit.data.reader import read
from slapkit.data.splits import make_splits
from slapkit.data.writing import write_table, write_webdataset
