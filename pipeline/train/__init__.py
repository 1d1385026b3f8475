"""Training: one run from its settings and images to its tables, through kills and restarts."""

from pipeline.runs.errors import TrainingError
from pipeline.train.loop import train

__all__ = ["TrainingError", "train"]
