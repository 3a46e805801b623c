"""Sound in, features out: decoding, windows, log-mel spectrograms, augmentation, and the cache that keeps them."""
