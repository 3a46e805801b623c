"""What the original musicnn makes of three clips, and how that was found: `reference.json` beside this file.

Made by `python -m tests.models.musicnn.original` where `pip install tensorflow tf_keras librosa` and
`pip install --no-deps musicnn==0.1.0` were run; the tests read it and need none of these but the last. The network, its
weights and librosa's log-mel are the original's. The package rounds the mel energies to float16, in which loud bands
become infinite: here they stay in float32.
"""

import json
from pathlib import Path

import numpy as np

REFERENCE = Path(__file__).parent / "reference.json"
RATE, SECONDS = 16000, 6
EVERY = 25  # of the pooled channels one in so many is kept
VGG, VGG_FRAMES = "MTT_vgg", 187  # its dense layer takes so many


def clips() -> dict[str, np.ndarray]:
    """Return clips by formula, float32 `[T]`: two that are silent at both ends, and one that is loud there, where
    librosa adds zeros and slapkit reflects."""
    time = np.arange(RATE * SECONDS) / RATE
    chord = sum(np.sin(2 * np.pi * f * k * time) / k**2 for f in (261.6, 329.6, 392.0) for k in range(1, 6))
    plucked = 0.2 * chord * np.exp(-5 * (time * 2 % 1)) * (1 - np.exp(-200 * (time * 2 % 1)))
    chaos = np.sin(np.arange(1, len(time) + 1) ** 2 * 0.618)  # noise that needs no generator
    beats = 0.3 * chaos * np.exp(-30 * (time * 4 % 1)) + 0.3 * np.sin(2 * np.pi * 55 * time) * np.exp(-8 * (time % 1))
    sweep = 0.3 * np.sin(2 * np.pi * 80 * SECONDS / np.log(50) * (50 ** (time / SECONDS) - 1))
    inside = (time > 0.1) & (time < SECONDS - 0.1)
    waves = {"chords": plucked * inside, "beats": beats * inside, "sweep": sweep}
    return {name: wave.astype(np.float32) for name, wave in waves.items()}


def main() -> None:
    import os

    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the original is of TensorFlow 1
    import librosa
    import tensorflow as tf
    from musicnn import configuration, models

    tf.compat.v1.disable_eager_execution()
    mel = {"sr": RATE, "n_fft": configuration.FFT_SIZE, "hop_length": configuration.FFT_HOP, "n_mels": 96}
    heard = [np.log10(1e4 * librosa.feature.melspectrogram(y=wave, **mel).T + 1) for wave in clips().values()]
    out = {}
    for name, tags in (("MTT_musicnn", configuration.MTT_LABELS), ("MSD_musicnn", configuration.MSD_LABELS)):
        tf.compat.v1.reset_default_graph()
        with tf.name_scope("model"):
            given = tf.compat.v1.placeholder(tf.float32, [None, len(heard[0]), 96])
            logits, *_, mean, most, _ = models.define_model(given, tf.constant(False), name, len(tags))
        session = tf.compat.v1.Session()
        tf.compat.v1.train.Saver().restore(session, str(Path(models.__file__).parent / name) + "/")
        values = session.run([tf.nn.sigmoid(logits), most, mean], {given: np.stack(heard)})
        for clip, *found in zip(clips(), *values):
            kept = [np.asarray(found[0]), *(channels[::EVERY] for channels in found[1:])]
            named = zip(("tags", "max", "mean"), ([float(f"{v:.6g}") for v in part] for part in kept))
            out.setdefault(clip, {})[name] = dict(named)
        out.setdefault("names", {})[name] = tags
    tf.compat.v1.reset_default_graph()
    with tf.name_scope("model"):
        given = tf.compat.v1.placeholder(tf.float32, [None, VGG_FRAMES, 96])
        third = models.define_model(given, tf.constant(False), VGG, 50)[3]
    session = tf.compat.v1.Session()
    tf.compat.v1.train.Saver().restore(session, str(Path(models.__file__).parent / VGG) + "/")
    layers = session.run(third, {given: np.stack(heard)[:, :VGG_FRAMES]})  # [clips, frames, 12, 128]
    for clip, layer in zip(clips(), layers):
        bands = layer.reshape(len(layer), 6, 2, -1).mean(2).transpose(0, 2, 1)  # [frames, 128, 6]
        pooled = np.concatenate([bands.max(0), bands.mean(0)]).ravel()
        out[clip][VGG] = [float(f"{v:.6g}") for v in pooled[::EVERY]]
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in out.items())
    REFERENCE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
