"""The animation at the head of the README, docs/spiral.gif: a field learns a spiral. `python docs/animation.py`."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import nn

import nodekit

TARGET = Path(__file__).with_name("spiral.gif")
EVERY, FRAMES, REST = 8, 40, 12  # iterations between frames, frames, and how many of them the last one stays

torch.manual_seed(0)
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
t = torch.linspace(0.0, 5.0, 100)
data = nodekit.odeint(lambda t, y: y**3 @ A, torch.tensor([2.0, 0.0]), t)
net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
calmer = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
grid = torch.stack(torch.meshgrid(torch.linspace(-2.3, 2.3, 19), torch.linspace(-2.3, 2.3, 19), indexing="xy"), -1)


def field(t, y):
    return net(y**3)


def learn(iterations: int) -> None:
    """Gradient steps on short pieces of the path."""
    for _ in range(iterations):
        begin = torch.randint(0, len(t) - 10, (20,))
        pieces = torch.stack([data[begin + i] for i in range(10)])
        loss = (nodekit.odeint(field, pieces[0], t[:10], rtol=1e-4, atol=1e-4) - pieces).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


figure, ax = plt.subplots(figsize=(4.0, 4.3), dpi=75, layout="constrained")
ax.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xticks=[], yticks=[], aspect="equal")
ax.plot(*data.T, "o", color="#E69F00", ms=3.5, label="data")
(path,) = ax.plot([], [], color="#0072B2", lw=2, label="path of the learnt field")
arrows = ax.quiver(*grid.unbind(-1), *grid.unbind(-1), color="0.72", pivot="mid", scale=26, width=0.004)
ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=9, frameon=False)


def draw(frame: int) -> None:
    """The field and its path after so many frames of learning."""
    if frame:
        learn(EVERY)
        calmer.step()
    ax.set_title(f"{frame * EVERY} gradient steps", fontsize=10)
    with torch.no_grad():
        path.set_data(*nodekit.odeint(field, data[0], torch.linspace(0.0, 5.0, 400), rtol=1e-4, atol=1e-4).T)
        slopes = field(0.0, grid)
        arrows.set_UVC(*(slopes / slopes.norm(dim=-1, keepdim=True)).unbind(-1))


pictures = []
for frame in range(FRAMES):
    draw(frame)
    figure.canvas.draw()
    # Few colours: a third of the size.
    pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB").quantize(40))
shown = [100] * (FRAMES - 1) + [100 * REST]
pictures[0].save(TARGET, save_all=True, append_images=pictures[1:], duration=shown, loop=0, optimize=True)
print(f"{TARGET}: {TARGET.stat().st_size / 1e3:.0f} kB")
