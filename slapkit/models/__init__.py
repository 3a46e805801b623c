"""The models: encoders, heads, the joint model, its losses and its EMA target."""

from typing import Literal

Objective = Literal["slap", "clap", "siglip"]
OBJECTIVE_NAMES: dict[str, str] = {"slap": "SLAP", "clap": "CLAP", "siglip": "SigLIP"}  # as they are written
