"""Training log: a JSON line for each logged step, a progress bar, callbacks, and TensorBoard if asked for."""

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
    """Rows of a run, kept in memory as `history` and in the JSONL file `path`; a run that goes on after `resume_at`
    steps drops later rows. Processes that are not `active` write nothing."""

    def __init__(
        self, path: Path, *, total: int, resume_at: int, callbacks: Sequence[Callback], progress: bool,
        tensorboard: bool, active: bool,
    ) -> None:  # fmt: skip
        self.path, self.callbacks, self.active, self._writer = path, callbacks, active, None
        self.history = [row for row in read_json_lines(path)[0] if row["step"] <= resume_at] if resume_at else []
        if active:
            atomic_write_json_lines(path, self.history)
        if active and tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(path.parent / "tensorboard", purge_step=resume_at)
        shown = progress and active
        self.bar = tqdm(total=total, initial=resume_at, desc="training", unit="step", disable=not shown)
        self._postfix: dict[str, str] = {}

    def write(self, row: dict[str, Any]) -> None:
        """Record one row; values that are not finite become null, since JSON cannot hold them."""
        if not self.active:
            return
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        self.history.append(row)
        with write_guard(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        health = row.get("validation", {})
        if self._writer:
            for key, value in (row | {f"validation/{k}": v for k, v in health.items()}).items():
                if isinstance(value, float):
                    self._writer.add_scalar(key, value, row["step"])
        if row.get("loss") is not None:
            self._postfix["loss"] = f"{row['loss']:.3f}"
        if health:
            self._postfix |= {"R@10": f"{100 * health['R@10']:.1f}%", "rank": f"{health['effective_rank']:.1f}"}
        self.bar.set_postfix(self._postfix, refresh=False)
        for callback in self.callbacks:
            callback(row)

    def close(self) -> None:
        """End the bar and flush what is open."""
        self.bar.close()
        if self._writer:
            self._writer.close()
