"""An ODE-Net for images: convolutions down, one ODE block, a linear layer."""

import numpy as np
import torch
from torch import nn

import nodekit

from .training import Training


class ConvDerivative(nn.Module):
    """Two 3×3 convolutions, each seeing the time as a further channel, ReLU and batch normalisation after each."""

    def __init__(self, channels):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels + 1, channels, 3, 1, 1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.nfe = 0

    def forward(self, t, x):
        self.nfe += 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            now = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x), 1, *x.shape[2:])
            x = norm(torch.relu(convolution(torch.cat([x, now], 1))))
        return x


class ImageODENet(nn.Module):
    """The classifier of the first document's section 7.3.1, for any image size of at least 8 × 8."""

    def __init__(self, channels, classes, filters, solver, gradient, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.down = nn.Sequential(
                nn.Conv2d(channels, filters, 3), nn.BatchNorm2d(filters), nn.ReLU(),
                nn.Conv2d(filters, filters, 4, 2, 1), nn.BatchNorm2d(filters), nn.ReLU(),
                nn.Conv2d(filters, filters, 4, 2, 1),
            )  # fmt: skip
            self.block = nodekit.NeuralODE(ConvDerivative(filters), gradient=gradient, **solver)
            self.head = nn.Sequential(
                nn.BatchNorm2d(filters), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, classes)
            )
        self.counted = [part for part in self.modules() if isinstance(part, ConvDerivative)]

    def forward(self, x):
        return self.head(self.block(self.down(x)))

    @property
    def nfe(self):
        """Evaluations of the derivative since this was last set."""
        return self.counted[0].nfe

    @nfe.setter
    def nfe(self, value):
        self.counted[0].nfe = value


def as_images(array, center, scale):
    """R's (n, h, w) or (n, h, w, c) as standardised (n, c, h, w)."""
    array = np.asarray(array, dtype=np.float32)
    array = array[:, None] if array.ndim == 3 else np.moveaxis(array, 3, 1)
    center, scale = (np.atleast_1d(x).astype(np.float32).reshape(1, -1, 1, 1) for x in (center, scale))
    return torch.from_numpy(np.ascontiguousarray((array - center) / scale))


def fit(model, images, labels, *, center, scale, batch_size, epochs, learning_rate, seed, device):
    """A Training of the model on images with labels 0, 1, …"""
    images, labels = as_images(images, center, scale).to(device), torch.tensor(labels).long().to(device)
    model.to(device)

    def batches(generator):
        return torch.randperm(len(images), generator=generator).to(device).split(batch_size)

    def loss(chosen):
        return nn.functional.cross_entropy(model(images[chosen]), labels[chosen]), len(chosen)

    return Training(
        model, loss, batches, batches_per_epoch=-(-len(images) // batch_size), epochs=epochs,
        learning_rate=learning_rate, seed=seed,
    )  # fmt: skip


def probabilities(model, images, *, center, scale, device, batch_size=256):
    """(n, classes) probabilities."""
    model.to(device).eval()
    with torch.no_grad():
        parts = as_images(images, center, scale).to(device).split(batch_size)
        return torch.cat([model(part).softmax(1) for part in parts]).cpu().double().numpy()
