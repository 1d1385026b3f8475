"""Training: one run from its settings and images to its tables, through kills and restarts."""

from pipeline.training.errors import TrainingError
from pipeline.training.loop import train

__all__ = ["TrainingError", "train"]
