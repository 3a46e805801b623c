"""Training: SLAP and its contrastive rivals under equal conditions, on a CPU, a GPU or several."""

from slapkit.training.config import TrainConfig
from slapkit.training.loop import Trained, train
