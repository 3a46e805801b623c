"""Audio in, features out: decoding, windows, log-mel spectrograms, augmentation, and the cache that keeps them."""

from slapkit.audio.decode import read
