"""The sweep behind the claims: cells of `02_train`, at a size for the machine at hand.

All cells of a size see equally many pairs of clip and caption, whatever their batch size, but those of the study of
steps. Apart from what a study varies, SLAP and its rivals are trained alike.
"""

from dataclasses import dataclass
from typing import Any

from slapkit.config import Config, require, require_known
from slapkit.errors import ConfigError, short

NAMES = {
    "slap": "SLAP", "clap": "CLAP", "siglip": "SigLIP", "byol": "BYOL, each alone", "paper": "SLAP, the paper's heads",
}  # fmt: skip


@dataclass(frozen=True)
class Size(Config):
    """How much is trained. The defaults are the size "cpu": two cores, about an hour."""

    corpus: str = "quick"  # size of the score corpus
    preset: str = "pretrained"  # of model and training
    paper: str = "pretrained-paper"  # the same with the heads and hyper-parameters of the paper
    pairs: int = 192_000  # seen by each run
    lengths: tuple[float, ...] = (0.25, 1.0, 2.0)  # of the study of steps, times `pairs`; 1 among them
    batch_size: int = 128  # pairs a step, where the study does not vary it
    micro_batch: int = 128  # pairs that go through the model at once where a larger batch accumulates
    batches: tuple[int, ...] = (64, 128, 512)  # of the batch study, `batch_size` among them
    lams: tuple[float, ...] = (0.0, 0.2, 0.5, 0.7, 1.0)
    taus: tuple[float, ...] = (0.9, 0.95, 0.996)
    seeds: tuple[int, ...] = (0, 1, 2)  # of training; every cell runs once for each
    pair_seeds: tuple[int, ...] = tuple(range(10))  # those of SLAP and CLAP, between which less lies than between seeds
    memory: tuple[int, ...] = (64, 256, 1024)  # batches whose peak memory is compared; the first is one micro-batch
    memory_preset: str = "tiny"  # whose encoder is trained: activations of frozen ones take no memory
    repetitions: int = 2  # of each of these
    epochs: int = 100  # most epochs of a probe
    least: int = 5  # clips of training and of test that a label needs
    workers: int = 2  # runs at a time
    lam: float = 0.5  # SLAP's own, where the study does not vary them
    tau: float = 0.95

    def check(self) -> None:
        require(len(self.seeds) >= 1, "seeds", self.seeds, "at least one seed")
        require(self.batch_size in self.batches, "batches", self.batches, f"batch_size={self.batch_size} among them")
        require(1.0 in self.lengths, "lengths", self.lengths, "1 among them")
        require(self.lam in self.lams, "lams", self.lams, f"lam={self.lam} among them")
        require(self.tau in self.taus, "taus", self.taus, f"tau={self.tau} among them")
        require(self.workers >= 1, "workers", self.workers, "at least 1")
        for key, batch in [*(("batches", n) for n in self.batches), *(("memory", n) for n in self.memory)]:
            fits = batch <= self.micro_batch or batch % self.micro_batch == 0
            require(fits and batch >= 2, key, batch, f"2 to {self.micro_batch}, or a multiple of {self.micro_batch}")
        require(self.pairs >= max(self.batches), "pairs", self.pairs, "at least one batch")


# Minutes, to see that everything runs; what it finds means nothing.
_SMOKE = Size(
    corpus="smoke", pairs=256, lengths=(0.5, 1.0), batch_size=16, micro_batch=16, batches=(8, 16, 32),
    lams=(0.0, 0.5, 1.0), taus=(0.95, 0.996), seeds=(0,), pair_seeds=(0,), memory=(16, 32), repetitions=1, epochs=20,
    least=1,
)  # fmt: skip
# One device with 80 GB: the paper's model on 30,000 clips, some days.
_GPU = Size(
    corpus="full", preset="paper", paper="paper", memory_preset="paper", pairs=3_072_000, batch_size=768,
    micro_batch=128, batches=(64, 128, 256, 768), lams=(0.0, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0),
    taus=(0.9, 0.95, 0.99, 0.996), pair_seeds=(0, 1, 2), memory=(128, 768, 1536), epochs=500, workers=1,
)  # fmt: skip
SIZES = {"smoke": _SMOKE, "cpu": Size(), "gpu": _GPU}


PAIR = ("slap", "clap")


@dataclass(frozen=True)
class Cell:
    """One setting of a study: `label` names it, the study varies `x`, `parameters` are those of `02_train`."""

    study: str
    label: str
    x: float | None
    parameters: dict[str, Any]


def size(name: str, *, seeds: str | None = None, workers: int | None = None) -> Size:
    """Return the size called `name`, with other training seeds ("0,1") or workers if given; raise `ConfigError` where
    there is no such size, or a seed is no number."""
    require_known([name], SIZES, "there is no size")
    changes: dict[str, Any] = {} if workers is None else {"workers": workers}
    if seeds is not None:
        try:
            changes["seeds"] = changes["pair_seeds"] = tuple(int(part) for part in seeds.split(","))
        except ValueError:
            raise ConfigError(
                f"seeds={short(seeds)} must be whole numbers separated by commas, such as 0,1,2"
            ) from None
    return SIZES[name].replace(**changes)


def cells(plan: Size) -> list[Cell]:
    """Return all cells, study by study; some are the same run in several studies."""
    found = [Cell("models", name, None, _parameters(plan, name)) for name in ("slap", "clap", "siglip")]
    # lam 0 leaves the intra-modal terms: BYOL for audio, BYOL for text, and nothing that joins them.
    found.append(Cell("models", "byol", None, _parameters(plan, "slap", lam=0.0)))
    found += [Cell("batch", "slap", n, _parameters(plan, "slap", batch_size=n)) for n in plan.batches]
    found += [Cell("batch", "clap", n, _parameters(plan, "clap", batch_size=n, plain=True)) for n in plan.batches]
    cached = [n for n in plan.batches if n > plan.micro_batch]  # which SLAP does not need
    found += [Cell("batch", "clap, cached", n, _parameters(plan, "clap", batch_size=n)) for n in cached]
    found += [Cell("lam", "slap", lam, _parameters(plan, "slap", lam=lam)) for lam in plan.lams]
    found += [Cell("tau", "slap", tau, _parameters(plan, "slap", tau=tau)) for tau in plan.taus]
    found.append(Cell("models", "paper", None, _parameters(plan, "slap") | {"preset": plan.paper}))
    for label in ("slap", "clap"):
        for length in plan.lengths:
            parameters = _parameters(plan, label)
            steps = round(length * parameters["steps"])
            found.append(Cell("steps", label, steps, parameters | {"steps": steps}))
    return found


def _parameters(
    plan: Size, objective: str, *, batch_size: int | None = None, plain: bool = False, **changes: Any
) -> dict[str, Any]:
    """Return the parameters of `02_train`, all that any study varies written out; `plain` batches do not accumulate."""
    batch = batch_size or plan.batch_size
    micro = plan.micro_batch if batch > plan.micro_batch and not plain else None
    slap = {"lam": plan.lam, "tau": plan.tau} if objective == "slap" else {"lam": None, "tau": None}
    shown = {"steps": plan.pairs // batch, "batch_size": batch, "micro_batch": micro}
    return {"objective": objective, "preset": plan.preset, **shown, **slap, **changes}
