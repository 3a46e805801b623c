"""SpecAugment: hide bands of time and frequency of a spectrogram (Park et al., arXiv 1904.08779, without warping)."""

import torch

from slapkit.config import require


def _spans(batch: int, size: int, width: int, masks: int) -> torch.Tensor:
    """Draw `masks` spans of up to `width` of `size` steps for each row; return what they cover, bool `[B, size]`.

    A span's width is uniform in `0 .. width` and its start in `0 .. size - width`, ends included. The numbers come
    from torch's global generator on the CPU, so that a seed means the same masks on every device.
    """
    widths = (torch.rand(batch, masks, 1) * (width + 1)).floor()
    starts = (torch.rand(batch, masks, 1) * (size - widths + 1)).floor()
    steps = torch.arange(size)
    return ((steps >= starts) & (steps < starts + widths)).any(dim=1)


def spec_augment(mel: torch.Tensor, *, time_mask: int, freq_mask: int, masks: int = 2) -> torch.Tensor:
    """Return a copy of `mel` in which each clip has its own bands of time and frequency hidden.

    What is hidden gets the clip's own mean, so that clips stay independent.

    Args:
        mel: spectrograms `[B, frames, bands]`.
        time_mask, freq_mask: widest band of time (frames) and of frequency (mel bands); 0 hides none.
        masks: number of bands along each axis.

    Raises:
        ConfigError: a mask is negative or wider than its axis.
    """
    batch, frames, bands = mel.shape
    require(0 <= time_mask <= frames, "time_mask", time_mask, f"0 to {frames} frames")
    require(0 <= freq_mask <= bands, "freq_mask", freq_mask, f"0 to {bands} mel bands")
    require(masks >= 0, "masks", masks, "0 or more")
    if masks == 0 or (time_mask == 0 and freq_mask == 0) or batch == 0:
        return mel.clone()
    hidden = _spans(batch, frames, time_mask, masks)[:, :, None] | _spans(batch, bands, freq_mask, masks)[:, None, :]
    hidden = hidden.to(mel.device, non_blocking=True)
    return torch.where(hidden, mel.mean(dim=(1, 2), keepdim=True), mel)
