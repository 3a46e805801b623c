"""An inverted file: rows by their nearest centre, for searches that look into the cells nearest to a query alone."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from slapkit._io import read_arrays, write_arrays
from slapkit.search.ranking import top

_CELLS = 4096  # at most
_LEARNED = 64  # rows a cell from which centres are learned
_ROUNDS = 6  # of moving centres
_SHARE = 32  # one cell in so many is looked into
_BLOCK = 2048  # rows compared with all centres at a time


class Cells:
    """Rows by their nearest of up to 4,096 centres, for searches that look into the nearest cells alone.

    Kept in the file `path`. Rows added since are put into their cells; twice as many rows as the centres were learned
    from get new ones. Rows that no track needs any more do no harm.

    Args:
        halves: unit rows, float16 `[W, D]`.
    """

    def __init__(self, halves: Tensor, path: Path, progress: bool) -> None:
        kept = read_arrays(path)
        arrays, learned = kept if kept is not None else ({}, 0)
        known = learned and len(arrays["labels"]) <= len(halves) <= 2 * learned
        with tqdm(total=len(halves), desc="Building the index", unit="window", disable=not progress, delay=1) as bar:
            if not known:
                learned = len(halves)
                arrays = {"centres": _centres(halves).numpy(), "labels": np.zeros(0, dtype=np.uint16)}
            self._centres, labels, old = torch.from_numpy(arrays["centres"]), arrays["labels"], len(arrays["labels"])
            if old < len(halves):
                new = _nearest(halves[old:], self._centres, bar).numpy().astype(np.uint16)
                labels = np.concatenate([labels, new])
                write_arrays(path, {"centres": arrays["centres"], "labels": labels}, learned)
        self._rows = np.argsort(labels, kind="stable")
        self._begins = np.searchsorted(labels, np.arange(len(self._centres) + 1), sorter=self._rows)

    def near(self, query: np.ndarray) -> np.ndarray:
        """Return the rows in the cells nearest to a query `[D]`, int64, in no order."""
        count = -(-len(self._centres) // _SHARE) + 3
        cells = top((self._centres @ torch.from_numpy(query)).numpy(), count)
        return np.concatenate([self._rows[self._begins[cell] : self._begins[cell + 1]] for cell in cells])


def _nearest(rows: Tensor, centres: Tensor, bar: tqdm | None = None) -> Tensor:
    """Return the nearest centre of each row."""
    labels = torch.empty(len(rows), dtype=torch.int64)
    for start in range(0, len(rows), _BLOCK):
        labels[start : start + _BLOCK] = (rows[start : start + _BLOCK].float() @ centres.T).argmax(1)
        if bar is not None:
            bar.update(len(rows[start : start + _BLOCK]))
    return labels


def _centres(halves: Tensor) -> Tensor:
    """Return centres of unit norm, float32 `[C, D]`: spherical k-means over a sample of the rows."""
    rng = np.random.default_rng(0)
    count = min(_CELLS, max(1, int(4 * len(halves) ** 0.5)), len(halves))
    rows = halves[np.sort(rng.choice(len(halves), min(len(halves), _LEARNED * count), replace=False))].float()
    centres = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(_ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, _nearest(rows, centres), rows)
        norms = sums.norm(dim=1, keepdim=True)
        centres = torch.where(norms > 0, sums / norms.clamp(min=1e-12), centres)  # an empty cell stays where it is
    return centres
