"""Training images changed at random, each by draws of its own, whenever an epoch comes to them."""

from __future__ import annotations

import difflib

import torch
from torch import Tensor

from pipeline.runs.reproducible import stream_seed
from pipeline.study import ConfigurationError, Transform


class Augmentation:
    """The settings' transforms of `torchvision.transforms.v2`, one after the other, of every image for itself.

    What is drawn depends on the run's seed, the epoch and the batch alone: a run that goes on draws the same.
    transforms: names and arguments; none leaves images as they are. seed: the run's.
    Raises `ConfigurationError` for a transform that torchvision has not, or that does not take its arguments.
    """

    def __init__(self, transforms: list[Transform], seed: int):
        self.transforms, self.seed = [made(transform) for transform in transforms], seed

    def __call__(self, images: Tensor, epoch: int, batch: int) -> Tensor:
        """Images (n, channels, h, w) of a batch, changed; all of one size, which may be another."""
        if not self.transforms:
            return images
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self.seed, "augmentation", epoch, batch))
            return torch.stack([self.change(image) for image in images])

    def change(self, image: Tensor) -> Tensor:
        """One image through all transforms."""
        for transform in self.transforms:
            image = transform(image)
        return image


def made(transform: Transform) -> torch.nn.Module:
    """The transform that the settings name."""
    from torchvision.transforms import v2  # takes a second to import, and few runs need it

    known = [
        name for name in dir(v2) if isinstance(getattr(v2, name), type) and issubclass(getattr(v2, name), v2.Transform)
    ]
    if transform.name not in known:
        near = difflib.get_close_matches(transform.name, known, n=1, cutoff=0)[0]
        raise ConfigurationError(
            f"augmentation: torchvision has no transform '{transform.name}'; did you mean '{near}'?"
        )
    try:
        return getattr(v2, transform.name)(**transform.arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"augmentation: {transform.name} does not take {transform.arguments}: {error}"
        ) from error
