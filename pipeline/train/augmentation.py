"""Training images changed at random, each by draws of its own, whenever an epoch comes to them."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

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
            for transform in self.transforms:
                images = transform(images)
            return images


class ImageByImage:
    """A transform of torchvision, called for each image of a batch: called for a batch it draws once for all."""

    def __init__(self, transform: torch.nn.Module):
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, channels, h, w), each changed by draws of its own."""
        return torch.stack([self.transform(image) for image in images])


class Crops:
    """torchvision's `RandomCrop` with a padding of zeros: a window of each image at a place of its own."""

    def __init__(self, size: int, padding: int = 0):
        self.size, self.padding = size, padding

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, channels, h, w), h and w padded at least `size`, to (n, channels, size, size)."""
        padded = functional.pad(images, [self.padding] * 4)
        count, _, *sides = padded.shape
        if min(sides) < self.size:
            raise ConfigurationError(
                f"augmentation: RandomCrop of {self.size} pixels, but images with their padding have {min(sides)}; "
                "take a smaller size, or more padding"
            )
        within = torch.arange(self.size)
        rows, columns = (torch.randint(side - self.size + 1, (count, 1)) + within for side in sides)
        rows, columns = rows.to(images.device), columns.to(images.device)
        images_first = torch.arange(count, device=images.device)[:, None, None]
        return padded.movedim(1, -1)[images_first, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).contiguous()


class HorizontalFlips:
    """torchvision's `RandomHorizontalFlip`: each image mirrored with probability p."""

    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, channels, h, w)."""
        chosen = (torch.rand(len(images)) < self.p).to(images.device)
        return torch.where(chosen[:, None, None, None], images.flip(-1), images)


# What changes a whole batch at once, in the arguments that it knows.
BATCHED: dict[str, tuple[Callable, set[str]]] = {
    "RandomCrop": (Crops, {"size", "padding"}),
    "RandomHorizontalFlip": (HorizontalFlips, {"p"}),
}


def made(transform: Transform) -> Callable[[Tensor], Tensor]:
    """The transform that the settings name, of batches; where none of ours does it at once, image by image."""
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
        single = getattr(v2, transform.name)(**transform.arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"augmentation: {transform.name} does not take {transform.arguments}: {error}"
        ) from error
    batched, known_arguments = BATCHED.get(transform.name, (None, set()))
    numbers = all(isinstance(value, int | float) for value in transform.arguments.values())
    if batched and numbers and transform.arguments.keys() <= known_arguments:
        return batched(**transform.arguments)
    return ImageByImage(single)
