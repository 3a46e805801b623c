"""Published checkpoints in, models out: loading, starting training, `export`, `doctor`, `embed`, `mteb`; a published
tagger: `tagger`, `weak_captions`."""

from slapkit._lazy import imported_from

_HOMES = {
    "MtebModel": "mteb", "mteb_model": "mteb",
    "Source": "load", "find": "load", "load_joint": "load", "load_model": "load",
    "keep_together": "seeds", "start_from": "starting", "tuning_lr": "starting", "with_towers_of": "starting",
}  # fmt: skip
__all__ = list(_HOMES)
__getattr__ = imported_from(__name__, _HOMES)
