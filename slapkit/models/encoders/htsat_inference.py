"""HTS-AT on a CPU without gradients: the same as transformers' `ClapAudioModel`, in two thirds of its time.

The arithmetic is that of a Swin transformer (arXiv 2103.14030), as there. The layout differs: tokens are in the order
of the attention windows, shifted or not, and move once a block instead of four times; query, key and value are one
product; position bias and mask are added up once; weights are in oneDNN's layout.

Under `torch.autocast("cpu", torch.bfloat16)` products and attention are in bfloat16, norms and the residual stream in
float32. Embeddings err by a cosine of 1e-5; processors with bfloat16 instructions take half the time again.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slapkit._cores import spread

# By model, outside of it, because packed weights can neither be copied nor saved; with the weights' versions.
_plans: WeakKeyDictionary[nn.Module, tuple[tuple, _Plan]] = WeakKeyDictionary()


def applies(model: nn.Module, x: Tensor) -> bool:
    """Whether `encode` is valid: on a CPU, without gradients and dropout, with GELU, and where every map is cut into
    whole windows and halves evenly."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    norms = nn.modules.batchnorm._BatchNorm  # a target's normalise by the batch, in evaluation too
    if any(module.training for module in model.modules() if not isinstance(module, norms)):
        return False
    config = model.audio_encoder.config
    sides = [side for size in model.audio_encoder.input_resolutions for side in size]
    whole = all(side % config.window_size == 0 for side in sides) and not any(side % 2 for side in sides[:-2])
    return whole and config.flatten_patch_embeds and config.hidden_act == "gelu"


def encode(model: nn.Module, mel: Tensor) -> Tensor:
    """Return the pooled output of a `ClapAudioModel`, float32 `[B, dim]`, for `mel`, float32 `[B, frames, n_mels]`
    (dB), where `applies`."""
    reduced = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    with torch.autocast("cpu", enabled=False):
        plan = _plan(model, torch.bfloat16 if reduced else torch.float32)
        # The bands first, and all together: a target's normalise by the batch.
        bands = model.audio_encoder.batch_norm(mel.float().unsqueeze(1).transpose(1, 3)).transpose(1, 3)
        # One window per thread: the activations of several would push each other out of the cache.
        return torch.cat(spread(plan, bands.split(1)))


def _plan(model: nn.Module, dtype: torch.dtype) -> _Plan:
    """Return the plan of a model, made anew where its weights have changed."""
    state = [*model.parameters(), *model.buffers()]
    version = (dtype, *((t.data_ptr(), 0 if t.is_inference() else t._version) for t in state))
    if model not in _plans or _plans[model][0] != version:
        _plans[model] = version, _Plan(model, dtype)
    return _plans[model][1]


class _Linear:
    """Linear layers in one product, optionally with GELU. In float32 the weights are in oneDNN's layout, where that is
    there, and what GELU returns stays in it; in bfloat16 that layout gains nothing."""

    def __init__(self, layers: Sequence[nn.Linear], dtype: torch.dtype, gelu: bool = False) -> None:
        self.dtype, self.gelu = dtype, gelu
        self.packed = dtype == torch.float32 and torch.backends.mkldnn.is_available()
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
        parts = (None if t is None else t.detach().to(dtype).contiguous() for t in (weight, bias))
        self.weight, self.bias = (t.to_mkldnn() if self.packed and t is not None else t for t in parts)

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed and not x.is_mkldnn:
            x = x.to_mkldnn()
        y = F.linear(x.to(self.dtype), self.weight, self.bias)
        if self.gelu:
            return F.gelu(y)
        return y.to_dense() if self.packed else y


class _Block:
    """Attention within windows and an MLP, in place, on tokens `[1, L, C]` in the order of the windows, `order [L]`."""

    def __init__(self, layer: nn.Module, height: int, width: int, dtype: torch.dtype) -> None:
        window, shift = layer.window_size, layer.shift_size
        if min(height, width) <= window:
            window, shift = min(height, width), 0
        place = torch.arange(height * width).view(height, width)
        if shift:
            place = place.roll((-shift, -shift), (0, 1))
        self.order = place.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2).flatten()
        own = layer.attention.self
        self.size, self.heads = window * window, own.num_attention_heads
        bias = own.relative_position_bias_table[own.relative_position_index.flatten()]
        bias = bias.view(self.size, self.size, self.heads).permute(2, 0, 1)[None]
        if shift:  # [windows, heads, size, size]; without a shift one bias serves all windows
            bias = bias + layer.get_attn_mask(height, width, torch.float32, "cpu").unsqueeze(1)
        if dtype != torch.float32:  # plain products take no bias that several windows share
            bias = bias.expand(height * width // self.size, -1, -1, -1).flatten(0, 1)
        self.bias = bias.detach().to(dtype).contiguous()
        self.qkv = _Linear((own.query, own.key, own.value), dtype)
        self.out = _Linear((layer.attention.output.dense,), dtype)
        self.up = _Linear((layer.intermediate.dense,), dtype, gelu=True)
        self.down = _Linear((layer.output.dense,), dtype)
        self.before, self.after = layer.layernorm_before, layer.layernorm_after

    def __call__(self, x: Tensor) -> Tensor:
        x += self.out(self._attend(self.qkv(self.before(x))))
        x += self.down(self.up(self.after(x)))
        return x

    def _attend(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.view(-1, self.size, 3, self.heads, qkv.shape[2] // (3 * self.heads)).permute(2, 0, 3, 1, 4)
        if qkv.dtype == torch.float32:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
        else:  # torch's own attention gains nothing from bfloat16 on a CPU, plain products do
            windows, scale = len(q), q.shape[-1] ** -0.5
            q, k, v = (part.flatten(0, 1) for part in (q, k, v))
            scores = torch.baddbmm(self.bias, q, k.transpose(1, 2), alpha=scale)
            mixed = torch.bmm(scores.softmax(-1), v).unflatten(0, (windows, self.heads))
        return mixed.transpose(1, 2).flatten(2).view(1, -1, qkv.shape[2] // 3)


class _Stage:
    """Blocks on one map, and the merging of its patches four by four, on tokens row by row."""

    def __init__(self, stage: nn.Module, height: int, width: int, dtype: torch.dtype) -> None:
        self.blocks = [_Block(layer, height, width, dtype) for layer in stage.blocks]
        # Where each token comes from: the rows for the first block, the block before it for the others.
        now = torch.arange(height * width)
        self.moves = []
        for block in self.blocks:
            self.moves.append(now.argsort()[block.order])
            now = block.order
        rows = now.argsort().view(height, width)
        self.merge = stage.downsample
        if self.merge is None:
            self.last = rows.flatten()
        else:
            corners = [rows[row::2, column::2] for column in range(2) for row in range(2)]
            self.last = torch.stack(corners, dim=-1).flatten()
            self.reduction = _Linear((self.merge.reduction,), dtype)

    def __call__(self, x: Tensor) -> Tensor:
        for move, block in zip(self.moves, self.blocks, strict=True):
            x = block(x.index_select(1, move))
        x = x.index_select(1, self.last)
        if self.merge is None:
            return x
        return self.reduction(self.merge.norm(x.unflatten(1, (-1, 4)).flatten(2))).float()


class _Plan:
    """A model laid out for one type of numbers."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.encoder = encoder = model.audio_encoder
        sizes = encoder.input_resolutions
        self.stages = [_Stage(stage, *size, dtype) for stage, size in zip(encoder.layers, sizes, strict=True)]

    def __call__(self, bands: Tensor) -> Tensor:
        """Encode normalised log-mels `[B, 1, frames, n_mels]` to `[B, dim]`."""
        encoder = self.encoder
        image = encoder.reshape_mel2img(bands)
        # One channel is channels-last too; said so, patches come out as tokens without a copy.
        image = image.as_strided(image.shape, (image.stride(0), 1, *image.stride()[2:]))
        x = encoder.patch_embed(image, torch.zeros(0, dtype=torch.long))  # no clip is longer than its window
        for stage in self.stages:
            x = stage(x)
        return encoder.norm(x).mean(1)
