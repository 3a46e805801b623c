"""Training log: a JSON line for each logged step, a progress bar, callbacks, and TensorBoard if asked for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from slapkit._io import atomic_write_json_lines, read_json_lines, write_guard

Callback = Callable[[dict[str, Any]], None]


class TrainLog:
    """Rows of a run, kept in memory as `history` and in `train.jsonl`; a resumed run drops the rows after its
    checkpoint.

    Args:
        path: the JSONL file.
        resume_at: optimiser steps already done; later rows are dropped.
    """

    def __init__(
        self,
        path: Path,
        *,
        total: int,
        resume_at: int = 0,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        tensorboard: bool = False,
        active: bool = True,
    ) -> None:
        self.path, self.callbacks, self.active = path, list(callbacks), active
        self.history = [row for row in read_json_lines(path)[0] if row["step"] <= resume_at] if resume_at else []
        self._writer = None
        if active:
            atomic_write_json_lines(path, self.history)
            if tensorboard:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(path.parent / "tensorboard", purge_step=resume_at)
        self._bar = tqdm(
            total=total, initial=resume_at, desc="training", unit="step", disable=not (progress and active)
        )
        self._postfix: dict[str, str] = {}

    def tick(self) -> None:
        """One optimiser step is done."""
        self._bar.update()

    def write(self, row: dict[str, Any]) -> None:
        """Record one row; values that are not finite become null, since JSON cannot hold them."""
        if not self.active:
            return
        row = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()
        }
        self.history.append(row)
        with write_guard(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._writer:
            flat = row | {f"validation/{k}": v for k, v in row.get("validation", {}).items()}
            for key, value in flat.items():
                if isinstance(value, float):
                    self._writer.add_scalar(key, value, row["step"])
        if row.get("loss") is not None:
            self._postfix["loss"] = f"{row['loss']:.3f}"
        if health := row.get("validation"):
            self._postfix |= {"R@10": f"{100 * health['R@10']:.1f}%", "rank": f"{health['effective_rank']:.1f}"}
        self._bar.set_postfix(self._postfix, refresh=False)
        for callback in self.callbacks:
            callback(row)

    def close(self) -> None:
        """End the bar and flush what is open."""
        self._bar.close()
        if self._writer:
            self._writer.close()
