"""Derivatives that learn, for tests of gradients."""

import torch
from torch import nn


class Field(nn.Module):
    """y' = net(y) cos t, in double precision, the same at every call."""

    def __init__(self, size=3, hidden=8, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Linear(size, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, size)
        self.net = nn.Sequential(*layers).double()

    def forward(self, t, y):
        return self.net(y) * torch.cos(t)
