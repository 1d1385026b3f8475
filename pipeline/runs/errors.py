"""What can go wrong in a training run, and what it has to tell."""


class TrainingError(RuntimeError):
    """A run cannot go on; the message names the run, the place, and what to try."""
