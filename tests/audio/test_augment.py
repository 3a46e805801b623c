"""SpecAugment: what is hidden, how wide, and that nothing else changes."""

import pytest
import torch

from slapkit.audio.augment import spec_augment
from slapkit.errors import ConfigError


def runs(hidden):
    """Return the lengths of the runs of True in a bool vector."""
    lengths, count = [], 0
    for value in [*hidden.tolist(), False]:
        if value:
            count += 1
        elif count:
            lengths.append(count)
            count = 0
    return lengths


def mel(batch=64, frames=100, bands=64):
    return torch.randn(batch, frames, bands, generator=torch.Generator().manual_seed(1))


def test_whole_rows_and_columns_are_hidden_within_bounds():
    torch.manual_seed(0)
    x = mel(400)
    hidden = spec_augment(x, time_mask=20, freq_mask=8, masks=1) != x
    times, bands = hidden.all(dim=2), hidden.all(dim=1)
    assert torch.equal(hidden, times[:, :, None] | bands[:, None, :])
    widths = {"time": [runs(t) for t in times], "band": [runs(b) for b in bands]}
    assert all(len(w) <= 1 for w in widths["time"] + widths["band"])
    assert {sum(w) for w in widths["time"]} == set(range(21)), "every width from none to the widest"
    assert {sum(w) for w in widths["band"]} == set(range(9))
    assert times[:, 0].any() and times[:, -1].any() and bands[:, 0].any() and bands[:, -1].any()


def test_each_clip_has_its_own_masks():
    torch.manual_seed(0)
    x = mel(1).expand(50, -1, -1)
    assert len({tuple(h.flatten().tolist()) for h in spec_augment(x, time_mask=30, freq_mask=16) != x}) == 50


def test_the_input_never_changes_and_the_rest_of_the_output_is_it():
    x = mel()
    before = x.clone()
    y = spec_augment(x, time_mask=20, freq_mask=8)
    assert torch.equal(x, before)
    means = before.mean(dim=(1, 2), keepdim=True)
    assert ((y == before) | (y == means)).all(), "each clip's own mean stands in what is hidden"
    y.zero_()
    assert torch.equal(x, before), "the output is a copy"


@pytest.mark.parametrize("nothing", [{"masks": 0}, {"time_mask": 0, "freq_mask": 0}])
def test_no_masks_is_identity_and_a_copy(nothing):
    x = mel()
    y = spec_augment(x, **{"time_mask": 20, "freq_mask": 8, **nothing})
    assert torch.equal(x, y) and y.data_ptr() != x.data_ptr()
    assert spec_augment(x[:0], time_mask=1, freq_mask=1).shape == (0, 100, 64)


def test_the_global_seed_decides():
    x = mel()
    torch.manual_seed(3)
    first = spec_augment(x, time_mask=20, freq_mask=8)
    assert not torch.equal(first, spec_augment(x, time_mask=20, freq_mask=8))
    torch.manual_seed(3)
    assert torch.equal(first, spec_augment(x, time_mask=20, freq_mask=8))


@pytest.mark.parametrize("wrong", [{"time_mask": 101}, {"freq_mask": 65}, {"time_mask": -1}, {"masks": -1}])
def test_masks_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        spec_augment(mel(), **{"time_mask": 1, "freq_mask": 1, **wrong})
