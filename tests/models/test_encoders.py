"""Encoders: shapes, finite gradients, independence of the batch, pooling, sources."""

import json

import numpy as np
import pytest
import torch

from slapkit.audio.frontend import FRONTENDS
from slapkit.errors import ConfigError
from slapkit.models.encoders import AudioEncoderConfig, TextEncoderConfig, build_audio_encoder, build_text_encoder
from slapkit.models.encoders.text import TextEncoder

LIGHT = FRONTENDS["light"]
HTSAT = {"spec_size": 128, "window_size": 4, "patch_embeds_hidden_size": 16}
HTSAT |= {"depths": [1, 2, 1, 1], "num_attention_heads": [1, 2, 4, 8]}
AUDIO = {
    "cnn": AudioEncoderConfig(channels=(4, 8, 16), window_s=1.0),
    "htsat": AudioEncoderConfig(kind="htsat", htsat=HTSAT, window_s=1.0),
}
MELS = {
    "noise": lambda b: 15 * torch.randn(b, 51, 64) - 40,
    "silence": lambda b: torch.full((b, 51, 64), -100.0),
    "equal frames": lambda b: (15 * torch.randn(b, 1, 64) - 40).expand(b, 51, 64).clone(),
    "one frame": lambda b: 15 * torch.randn(b, 1, 64) - 40,
}
TOKENS = ["input_ids", "attention_mask"]


def audio_encoder(kind: str, **changes):
    torch.manual_seed(0)
    return build_audio_encoder(AUDIO[kind].replace(**changes))


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", AUDIO)
@pytest.mark.parametrize("mel", MELS)
def test_shape_and_finite_gradients_for_sound_and_silence(kind, mel):
    encoder = audio_encoder(kind)
    x = MELS[mel](3).requires_grad_()
    h = encoder(x)
    assert h.shape == (3, encoder.dim) and h.isfinite().all()
    (h * torch.randn_like(h)).sum().backward()
    assert x.grad.isfinite().all()
    found = gradients(encoder)
    assert found.keys() == {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert all(g.isfinite().all() for g in found.values())


@pytest.mark.parametrize("kind", AUDIO)
def test_one_alone_equals_one_in_a_batch(kind):
    encoder = audio_encoder(kind).eval()
    x = torch.cat([MELS["noise"](5), MELS["silence"](1)])
    with torch.no_grad():
        together, alone = encoder(x), torch.cat([encoder(row[None]) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3  # and the sounds differ


@pytest.mark.parametrize("n_mels", [16, 50, 65, 67])
def test_cnn_takes_any_number_of_bands(n_mels):
    encoder = audio_encoder("cnn", frontend=LIGHT.replace(n_mels=n_mels))
    assert encoder(torch.randn(2, 20, n_mels)).shape == (2, encoder.dim)


def test_cnn_summarises_time_by_mean_spread_and_maximum():
    encoder = audio_encoder("cnn").eval()
    x = MELS["noise"](2)
    with torch.no_grad():
        image = ((x - encoder.mel_mean) / encoder.mel_std).transpose(1, 2)[:, None]
        maps = encoder.blocks(image).double()  # [B, C, bands, frames]
        found = encoder(x).double().view(2, 3, -1)
    for b in range(2):
        for i, (f, c) in enumerate(np.ndindex(maps.shape[2], maps.shape[1])):
            series = maps[b, c, f].tolist()
            mean = sum(series) / len(series)
            variance = sum((v - mean) ** 2 for v in series) / len(series)
            expected = [mean, (variance + 1e-5) ** 0.5, max(series)]
            assert found[b, :, i].tolist() == pytest.approx(expected, abs=1e-4)


def test_cnn_normalises_by_what_training_measured():
    torch.manual_seed(0)
    x = MELS["noise"](2)
    plain, shifted = (audio_encoder("cnn", mel_mean=m, mel_std=s).eval() for m, s in ((0.0, 1.0), (-40.0, 15.0)))
    with torch.no_grad():
        torch.testing.assert_close(shifted(x), plain((x + 40) / 15), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", AUDIO)
def test_bfloat16_keeps_what_bfloat16_can(kind):
    encoder = audio_encoder(kind).eval()
    x = MELS["equal frames"](4) + torch.randn(4, 51, 64)  # steady: its spread is a small difference of large numbers
    with torch.no_grad():
        exact = encoder(x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(x).float()
    assert (rounded - exact).norm() / exact.norm() < 0.03
    if kind == "cnn":
        spread = [h.view(4, 3, -1)[:, 1] for h in (exact, rounded)]
        assert (spread[1] - spread[0]).norm() / spread[0].norm() < 0.015


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"htsat": HTSAT | {"dephts": [1]}}, "'dephts'.*'depths'"),
        ({"htsat": HTSAT | {"spec_size": "big"}}, "htsat.*spec_size"),
        ({"htsat": HTSAT | {"window_size": 8}}, "window_size=8.*4"),
        ({"htsat": HTSAT | {"hidden_size": 1000}}, "hidden_size=1000.*128"),
        ({"htsat": HTSAT | {"num_mel_bins": 32}}, "num_mel_bins=32.*n_mels=64"),
        ({"window_s": 5.0, "htsat": HTSAT | {"spec_size": 64, "window_size": 2}}, "window_s=5.0.*64 frames"),
        ({"frontend": LIGHT.replace(n_mels=50)}, "spec_size=128.*n_mels=50"),
        ({"htsat": HTSAT | {"enable_fusion": True, "fusion_type": "channel_map"}}, "channel_map"),
    ],
)
def test_htsat_refuses_shapes_that_do_not_fit(changes, words):
    with pytest.raises(ConfigError, match=words):
        audio_encoder("htsat", **changes)


CAPTIONS = [
    "a slow waltz for strings",
    "drums",
    "a bright and rather hurried jig in six eight, played by two flutes over a drone, and repeated with ornaments",
]


@pytest.fixture
def scratch(narrow_roberta):
    return TextEncoderConfig(source="roberta-scratch", frozen=False, max_tokens=20)


@pytest.fixture(scope="module")
def minilm():
    return build_text_encoder(TextEncoderConfig()).eval()


@torch.no_grad()
def test_padding_does_not_reach_the_mean(minilm):
    together = minilm(minilm.tokenize(CAPTIONS))
    alone = torch.cat([minilm(minilm.tokenize([caption])) for caption in CAPTIONS])
    assert together.shape == (3, minilm.dim) == (3, 384)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    # The same by hand: the mean over the tokens that are there.
    tokens = minilm.tokenize(CAPTIONS)
    hidden = minilm.model(**tokens).last_hidden_state.double()
    for row in range(3):
        there = [hidden[row, i] for i in range(hidden.shape[1]) if tokens["attention_mask"][row, i]]
        torch.testing.assert_close(together[row].double(), sum(there) / len(there), rtol=1e-5, atol=1e-6)


def test_batches_hold_every_caption_once_with_those_of_one_length(minilm):
    captions, seen = [" ".join(["flute"] * (1 + i % 7)) for i in range(42)], []
    for rows, tokens in minilm.batches(captions, 6):
        alone = [minilm.tokenize([captions[i]])["input_ids"][0] for i in rows]
        assert all(torch.equal(own, row) for own, row in zip(alone, tokens["input_ids"], strict=True))  # not padded
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(captions)))


@torch.no_grad()
def test_first_token_pooling(minilm):
    encoder = build_text_encoder(TextEncoderConfig(pooling="cls")).eval()
    tokens = encoder.tokenize(CAPTIONS)
    torch.testing.assert_close(encoder(tokens), minilm.model(**tokens).last_hidden_state[:, 0])
    assert (encoder(tokens) - minilm(tokens)).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_layers_stand_side_by_side(minilm, pooling):
    encoder = build_text_encoder(TextEncoderConfig(pooling=pooling, layers=(0, 3, -1))).eval()
    tokens = encoder.tokenize(CAPTIONS)
    together, states = encoder(tokens), minilm.model(**tokens, output_hidden_states=True).hidden_states
    assert together.shape == (len(CAPTIONS), encoder.dim) == (len(CAPTIONS), 3 * minilm.dim)
    for block, hidden in zip(together.chunk(3, dim=1), (states[0], states[3], states[-1]), strict=True):
        for row, there in enumerate(tokens["attention_mask"].bool()):
            wanted = hidden[row, 0] if pooling == "cls" else hidden[row][there].double().mean(0)
            torch.testing.assert_close(block[row].double(), wanted.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [(7,), (-8,), (3, 99)])
def test_a_layer_that_the_model_lacks_is_refused(layers):
    with pytest.raises(ConfigError, match=rf"layers={layers[-1]}.*minilm.*0 to 6"):
        build_text_encoder(TextEncoderConfig(layers=layers))


def test_the_output_alone_is_written_as_before_there_were_layers():
    assert "layers" not in TextEncoderConfig().to_dict()
    chosen = TextEncoderConfig(layers=(3, -1))
    assert TextEncoderConfig.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen


def test_a_text_model_of_few_positions_or_without_padding_is_refused(minilm, tmp_path):
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    BertModel(BertConfig(max_position_embeddings=16, num_hidden_layers=1)).save_pretrained(tmp_path / "short")
    minilm.tokenizer.save_pretrained(tmp_path / "short")
    with pytest.raises(ConfigError, match=f"max_tokens=17.*16.*{tmp_path}"):
        build_text_encoder(TextEncoderConfig(source=str(tmp_path / "short"), max_tokens=17))
    assert build_text_encoder(TextEncoderConfig(source=str(tmp_path / "short"), max_tokens=16)).max_tokens == 16
    plain = PreTrainedTokenizerFast(tokenizer_object=minilm.tokenizer.backend_tokenizer)
    plain.pad_token = None
    with pytest.raises(ConfigError, match="minilm.*pad"):
        TextEncoder(minilm.model, plain, TextEncoderConfig())


def test_long_captions_are_cut():
    encoder = build_text_encoder(TextEncoderConfig(max_tokens=6)).eval()
    tokens = encoder.tokenize(["music " * 50, "drums"])
    assert [tokens[name].shape for name in TOKENS] == [(2, 6), (2, 6)]
    assert tokens["attention_mask"].sum(1).tolist() == [6, 3]
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(encoder.tokenize(["music " * 50])), encoder(encoder.tokenize(["music " * 9]))
        )


def test_fingerprint_belongs_to_the_weights(minilm):
    again = build_text_encoder(TextEncoderConfig(pooling="cls", max_tokens=5))
    assert again.fingerprint() == minilm.fingerprint() and len(minilm.fingerprint()) == 16
    with torch.no_grad():
        again.model.pooler.dense.weight.add_(1)  # not on the way to the representation
        assert again.fingerprint() == minilm.fingerprint()
        again.model.embeddings.word_embeddings.weight[5, 5] += 1e-3
    assert again.fingerprint() != minilm.fingerprint()


def test_text_gradients_reach_every_trainable_weight(scratch):
    encoder = build_text_encoder(scratch, captions=CAPTIONS)
    encoder(encoder.tokenize(CAPTIONS)).square().sum().backward()
    assert gradients(encoder).keys() == {name for name, p in encoder.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("source", ["no-such-model", "no/such-model", "/no/such/folder", "a/b/c", ".."])
def test_an_unknown_source_is_refused_by_name(source):
    with pytest.raises(ConfigError, match=f"source={source!r}.*minilm"):
        build_text_encoder(TextEncoderConfig(source=source))


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"model_type": "bert"}', '{"model_type": "nope"}'])
def test_a_folder_without_a_model_is_refused_by_name(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        build_text_encoder(TextEncoderConfig(source=str(tmp_path)))


def test_a_scratch_encoder_needs_captions():
    with pytest.raises(ConfigError, match="captions"):
        build_text_encoder(TextEncoderConfig(source="roberta-scratch", frozen=False))


def test_a_scratch_tokenizer_returns_what_it_was_given(scratch):
    encoder = build_text_encoder(scratch, captions=CAPTIONS * 3)
    captions = [*CAPTIONS[:2], "a waltz", "x  y"]
    tokens = encoder.tokenize(captions)
    assert encoder.tokenizer.batch_decode(tokens["input_ids"], skip_special_tokens=True) == captions
    unseen = "Ein Stück für Flöte, ♪ 日本!"
    assert encoder.tokenizer.decode(encoder.tokenizer(unseen)["input_ids"], skip_special_tokens=True) == unseen
    for row, mask in zip(*(tokens[name].tolist() for name in TOKENS)):
        there = sum(mask)
        assert (row[0], row[there - 1], set(row[there:]) <= {1}) == (0, 2, True)  # <s> ... </s> <pad>
    # Captions that it has seen are a few tokens, not a token a letter.
    assert sum(tokens["attention_mask"][0]) < len(CAPTIONS[0]) / 2


@torch.no_grad()
def test_a_scratch_encoder_ignores_padding_and_survives_saving(scratch, tmp_path):
    encoder = build_text_encoder(scratch, captions=CAPTIONS * 3).eval()
    together = encoder(encoder.tokenize(CAPTIONS))
    alone = torch.cat([encoder(encoder.tokenize([caption])) for caption in CAPTIONS])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    encoder.save_architecture(tmp_path)
    again = TextEncoder.from_folder(tmp_path, scratch).eval()
    again.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again(again.tokenize(CAPTIONS)), together)
