"""The training loop as a user meets it: it learns, repeats itself, goes on after a stop, and says what is wrong."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from slapkit.errors import CheckpointError, CollapseError, ConfigError, DataError
from slapkit.models.joint import JointModel
from slapkit.models.weights import load_tensors
from slapkit.training import loop
from tests.training.tones import assert_equal, run, stopped_at, tiny, weights


def trainer(chosen, dataset, folder, cache, model=None):
    return loop.Trainer(model or chosen.model, chosen.train, dataset, folder, cache, progress=False)


@pytest.mark.parametrize("objective", ["slap", "clap", "siglip"])
def test_every_objective_learns_and_says_how(objective, tones, cache, tmp_path):
    chosen, rows = tiny({"objective": objective, "steps": 40, "eval_every": 40}), []
    history = run(chosen, tones, tmp_path, cache, callbacks=[rows.append]).history
    losses = [row["loss"] for row in history]
    assert all(math.isfinite(x) for x in losses) and np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()] == history == rows
    assert [row["step"] for row in rows] == list(range(1, 41)) and history[-1]["validation"]["effective_rank"] > 2
    terms = {"audio_to_text", "text_to_audio", "audio", "text", "tau"}
    assert rows[0].keys() & terms == (terms if objective == "slap" else set())


@pytest.mark.parametrize("objective", ["slap", "clap"])
def test_resumed_run_is_bit_equal(objective, tones, cache, tmp_path):
    chosen = tiny({"objective": objective, "micro_batch": 8})
    whole = run(chosen, tones, tmp_path / "whole", cache)
    with stopped_at(5):
        run(chosen, tones, tmp_path / "halves", cache)
    assert not (tmp_path / "halves" / "config.json").exists(), "a model that is not finished must not look finished"
    halves = run(chosen, tones, tmp_path / "halves", cache)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "halves"))
    for row, other in zip(whole.history, halves.history, strict=True):
        assert row | {"time_s": 0, "step_s": 0} == other | {"time_s": 0, "step_s": 0}


def test_the_target_moves_once_an_optimiser_step_whatever_the_micro_batches(tones, cache, tmp_path):
    chosen = tiny({"micro_batch": 4, "steps": 4, "tau": 0.9, "tau_end": 1.0})
    run, taus = trainer(chosen, tones, tmp_path, cache), []
    context, target = (dict(tower.named_parameters()) for tower in (run.model.audio, run.model.target_audio))
    for step in range(3):
        before = {n: p.detach().clone() for n, p in context.items()}, {n: p.clone() for n, p in target.items()}
        taus.append(run.step(step)[2])
        for name, parameter in context.items():
            assert not torch.equal(parameter, before[0][name])
            expected = taus[-1] * before[1][name] + (1 - taus[-1]) * parameter.detach()
            torch.testing.assert_close(target[name], expected, rtol=0, atol=1e-6)
    assert taus == pytest.approx([0.9, 0.925, 0.975])  # the schedule counts optimiser steps: half a cosine over 0..3


@pytest.mark.parametrize("exact", [False, True])
def test_accumulation_equals_the_large_batch_on_real_audio(exact, tones, cache, tmp_path):
    """One step of 16 pairs equals one of 4 x 4: by plain accumulation with plain heads, by exact accumulation with the
    heads of the preset `tiny`, which have BatchNorm."""
    for objective in ("slap", "clap", "siglip"):
        after = {}
        for micro in (16, 4):
            settings = {"objective": objective, "steps": 1, "micro_batch": micro, "masks": 0, "warmup_fraction": 0.0}
            chosen = tiny(settings | {"exact_accumulation": exact}, batch_norm=exact)
            run = trainer(chosen, tones, tmp_path, cache)
            for tower in (run.model.audio, run.model.target_audio):
                if tower is not None:
                    tower.encoder.apply(_fix_statistics)
            run.wrapped.train = lambda mode=True: None  # the CNN's own BatchNorm stays in evaluation mode
            run.step(0)
            after[micro] = {n: p.grad.clone() for n, p in run.model.named_parameters() if p.grad is not None}
            after[micro] |= {n: b.clone() for n, b in run.model.named_buffers() if n.endswith("running_var")}
        for name, value in after[16].items():
            torch.testing.assert_close(after[4][name], value, rtol=1e-4, atol=2e-6, msg=f"{objective} {name}")


def _fix_statistics(module):
    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
        module.eval()


def test_one_pair_for_batchnorm_is_refused_before_any_work(tones, cache, tmp_path):
    for objective in ("slap", "clap"):
        with pytest.raises(ConfigError, match="micro_batch=1"):
            run(tiny({"micro_batch": 1, "objective": objective}), tones, tmp_path, cache)
    assert not any(tmp_path.iterdir())
    run(tiny({"micro_batch": 1, "steps": 1}, batch_norm=False), tones, tmp_path / "plain", cache)
    run(tiny({"micro_batch": 1, "steps": 1, "exact_accumulation": True}), tones, tmp_path / "exact", cache)


def test_starting_anew_leaves_nothing_of_before(tones, cache, tmp_path):
    run(tiny({"steps": 2}), tones, tmp_path, cache)
    (tmp_path / "text_encoder").mkdir()
    (tmp_path / "text_encoder" / "tokenizer.json").write_text("old")
    (tmp_path / "mine.txt").write_text("kept")
    with stopped_at(1):
        run(tiny({"steps": 2}), tones, tmp_path, cache, resume=False)
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.txt", "training", "train.jsonl"}


def test_what_others_keep_beside_a_training_stays(tones, cache, tmp_path):
    """A project's own folder may be called `training`."""
    mine = [tmp_path / name for name in ("training/data/a.wav", "training/own.safetensors", "tensorboard/own/a.txt")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for _ in range(2):
        run(tiny({"steps": 2}), tones, tmp_path, cache, resume=False, tensorboard=True)
        assert all(path.exists() for path in mine)
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 1, "what an earlier training wrote is gone"


def test_a_model_is_trained_as_it_is_given(tones, cache, tmp_path):
    chosen = tiny({"steps": 2})
    torch.manual_seed(3)
    model = JointModel.build(chosen.model, "slap")
    before = {name: tensor.clone() for name, tensor in model.audio.projector.state_dict().items()}
    given = trainer(chosen, tones, tmp_path / "b", cache, copy.deepcopy(model))
    assert_equal(before, given.model.audio.projector.state_dict())
    with pytest.raises(ConfigError, match="clap"):
        trainer(tiny({"objective": "clap"}), tones, tmp_path, cache, model)
    with pytest.raises(ConfigError, match="somewhere"):
        run(tiny({"init": "somewhere"}), tones, tmp_path, cache)


def test_resume_refuses_other_settings(tones, cache, tmp_path):
    run(tiny({"steps": 2}), tones, tmp_path, cache)
    with pytest.raises(CheckpointError, match="train.lr: 0.001 there, 0.002 now"):
        run(tiny({"steps": 2, "lr": 2e-3}), tones, tmp_path, cache)
    run(tiny({"steps": 2, "lr": 2e-3}), tones, tmp_path, cache, resume=False)


def test_half_written_checkpoint_is_ignored(tones, cache, tmp_path):
    run(tiny(), tones, tmp_path / "whole", cache)
    with stopped_at(7):
        run(tiny(), tones, tmp_path, cache)
    newest = tmp_path / "training" / "step-00000006"
    newest.rename(newest.with_suffix(".tmp"))
    assert run(tiny(), tones, tmp_path, cache).history[4]["step"] == 5
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path))


@pytest.mark.parametrize("objective", ["slap", "clap"])
def test_a_training_that_has_ended_keeps_its_model_and_no_more(objective, tones, cache, tmp_path):
    chosen = tiny({"objective": objective})
    first = run(chosen, tones, tmp_path, cache)
    assert [path.name for path in (tmp_path / "training").rglob("*")] == ["step-00000008", "state.json"]
    before = weights(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "step", None)  # nothing is left to do
        again = run(chosen, tones, tmp_path, cache)
    assert again.history == first.history
    assert_equal(before, weights(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model.safetensors"):
        run(chosen, tones, tmp_path, cache)


def test_an_end_that_is_cut_short_is_an_end(tones, cache, tmp_path, monkeypatch):
    """Ctrl-C after the first of the files that go at the end of a training."""
    unlink = Path.unlink

    def cut(path, **options):
        unlink(path, **options)
        if path.parent.name == "step-00000008":
            raise KeyboardInterrupt

    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *given: iter(sorted(found(*given), reverse=True)))  # the worst order
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", cut)
        with pytest.raises(KeyboardInterrupt):
            run(tiny(), tones, tmp_path, cache)
    before = weights(tmp_path)
    run(tiny(), tones, tmp_path, cache)
    assert_equal(before, weights(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "missing", "renamed", "reshaped"])
def test_damaged_checkpoint_is_refused(damage, tones, cache, tmp_path):
    from safetensors.torch import save_file

    with stopped_at(3):
        run(tiny(), tones, tmp_path, cache)
    path = tmp_path / "training" / "step-00000002" / "model.safetensors"
    state = load_tensors(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "missing":
        path.unlink()
    else:
        name = "audio.projector.0.weight"
        state["stranger" if damage == "renamed" else name] = state.pop(name)[1:]
        save_file(state, path)
    with pytest.raises(CheckpointError, match="model.safetensors"):
        run(tiny(), tones, tmp_path, cache)


@pytest.mark.parametrize(
    ("value", "words"), [(1.0, r"effective rank .* was 1\.\d\d, 1\.\d\d .*lam"), (math.nan, "nan at step 1.*lower lr")]
)
def test_a_collapse_or_a_loss_that_is_not_finite_stops_with_advice(value, words, tones, cache, tmp_path, monkeypatch):
    """A constant audio tower collapses the embedding; the loss alone would not show it."""
    constant = "slapkit.models.encoders.cnn.CNN.forward"
    monkeypatch.setattr(constant, lambda self, mel: torch.full((len(mel), self.dim), value) + 0 * mel.mean())
    chosen = tiny({"steps": 20, "eval_every": 2, "stop_on_collapse": True}, batch_norm=False)
    with pytest.raises(CollapseError, match=words):
        run(chosen, tones, tmp_path, cache)
    assert (tmp_path / "train.jsonl").read_text(), "what was seen is on disk"


def test_a_validation_split_of_a_clip_or_two_stops_no_training(tones, cache, tmp_path):
    """The effective rank of one clip is 1, however well it is told from others."""
    held = [clip.id for clip in tones.split("validation")]
    for count in (1, 2):
        few = tones.with_clips(clip for clip in tones if clip.id not in held[count:])
        done = run(tiny({"eval_every": 2, "stop_on_collapse": True}), few, tmp_path / str(count), cache)
        ranks = [row["validation"]["effective_rank"] for row in done.history if "validation" in row]
        assert len(ranks) == 4 and max(ranks[:2]) < 1.5


@pytest.mark.parametrize(("asked", "used"), [((64, None), (32, None)), ((64, 12), (24, 12)), ((64, 40), (32, 32))])
def test_a_batch_larger_than_the_data_is_lowered_before_features_and_recorded(tones, cache, tmp_path, asked, used):
    chosen = tiny({"steps": 2, "batch_size": asked[0], "micro_batch": asked[1]})
    with pytest.warns(UserWarning, match=f"32 clips: batch_size=64 is lowered to {used[0]}"):
        done = run(chosen, tones, tmp_path / "run", cache)
    recorded = json.loads((done.folder / "config.json").read_text())["train"]
    assert (recorded["batch_size"], recorded["micro_batch"]) == used and recorded["steps"] == 2
    whole = run(tiny({"steps": 2, "batch_size": used[0], "micro_batch": used[1]}), tones, tmp_path / "other", cache)
    assert whole.history[-1]["loss"] == done.history[-1]["loss"]


def test_what_cannot_be_trained_is_refused_before_features(tones, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one, *others = [clip.id for clip in tones]
    alone = tones.relabel({one: "train"} | dict.fromkeys(others))
    for chosen, data, error, words in (
        (tiny(), alone, DataError, "1 clips for 1 device.*at least 2"),
        (tiny({"micro_batch": 5}), tones, DataError, "micro-batches of 5"),
        (tiny(), tones.relabel({clip.id: None for clip in tones}), DataError, "make_splits"),
        (tiny({"time_mask_s": 1.5}), tones, ConfigError, "time_mask_s=1.5"),
        (tiny({"freq_mask": 65}), tones, ConfigError, "freq_mask=65"),
        (tiny({"device": "cuda"}), tones, ConfigError, "device='cuda'.*no GPU"),
    ):
        with pytest.raises(error, match=words):
            run(chosen, data, tmp_path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_is_what_the_machine_has(tones, cache, tmp_path, monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    run(tiny({"steps": 2, "precision": "auto", "device": "cpu"}), tones, tmp_path, cache)
    kept = json.loads((tmp_path / "config.json").read_text())["train"]
    assert kept["precision"] == ("bf16" if native else "no")


def test_bf16_trains_and_tensorboard_shows_it(tones, cache, tmp_path):
    history = run(tiny({"steps": 4, "precision": "bf16"}), tones, tmp_path, cache, tensorboard=True).history
    assert all(math.isfinite(row["loss"]) for row in history)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
