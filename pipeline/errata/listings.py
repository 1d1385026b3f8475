"""What listings of the documents do when they are run as they are printed."""

from __future__ import annotations

import ast
import builtins

import numpy as np
import torch
from scipy import integrate
from torch import nn

import nodekit
from pipeline.compute.adjoint import difference_quotient
from pipeline.errata.finding import Finding
from pipeline.models.iceberg_mlp import iceberg_mlp
from pipeline.models.image_odenet import ImageODENet
from pipeline.study import Solver


def predicts_with_the_true_system(steps: int, seed: int) -> Finding:
    """slides, spiral: the listing's loss and step with its `neural_ode` of Lambda, and with one of ODEModel."""
    torch.manual_seed(seed)
    t = torch.linspace(0, 1, 11)
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
    model = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
    batch_y0 = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.5, -1.5]])

    def true_system(t, y):
        return y**3 @ matrix

    batch_yn = nodekit.odeint(true_system, batch_y0, t)[-1]
    numbers: dict[str, float] = {}
    for name, system, own in (
        ("as listed", true_system, []),
        ("with the model", lambda t, y: model(y**3), list(model.parameters())),
    ):
        losses = []
        for _ in range(steps):
            loss = (nodekit.odeint(system, batch_y0, t)[-1] - batch_yn).abs().mean()
            losses.append(loss.item())
            gradients = torch.autograd.grad(loss, own) if own else []
            # zip() ends with the shorter one: without gradients there is nothing to apply to any weight.
            for gradient, weight in zip(gradients, model.parameters(), strict=False):
                weight.data -= 0.01 * gradient
        numbers |= {
            f"gradients, {name}": len(gradients),
            f"loss at first, {name}": losses[0],
            f"loss after {steps} steps, {name}": losses[-1],
        }
    still = numbers["loss at first, as listed"] == numbers[f"loss after {steps} steps, as listed"]
    learns = numbers[f"loss after {steps} steps, with the model"] < numbers["loss at first, with the model"]
    return Finding(numbers["gradients, as listed"] == 0 and still and learns, numbers)


def undefined_names(listing: str, defined: list[str]) -> Finding:
    """slides: the names that a listing reads and that neither it, the slides nor Python define."""
    tree = ast.parse(listing)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    unknown = sorted(read - stored - set(defined) - set(dir(builtins)))
    return Finding(bool(unknown), {"names read": len(read), "defined nowhere": ", ".join(unknown) or "none"})


def arguments_in_another_order(rate: float) -> Finding:
    """slides: SciPy's odeint given `g_fn(tk, hk)`, as the slides define it, and with its arguments exchanged."""

    def g_fn(tk, hk):
        return -rate * hk

    t = np.linspace(0, 1, 50)
    as_defined = float(integrate.odeint(g_fn, 1.0, t)[-1, 0])
    exchanged = float(integrate.odeint(lambda y, t: g_fn(t, y), 1.0, t)[-1, 0])
    numbers = {"N(1) by SciPy with g_fn": as_defined, "with its arguments exchanged": exchanged}
    numbers |= {"exp(−λ)": float(np.exp(-rate)), "1 − λ/2": 1 - rate / 2}
    return Finding(abs(exchanged - np.exp(-rate)) < 1e-6 and abs(as_defined - exchanged) > 0.1, numbers)


def returned_by_reverse_mode(matrix: list[list[float]], adjoint: list[float]) -> Finding:
    """slides: what `reverse_mode` returns for h' = Wh, beside ∂f/∂h, as its comment has it, and −aᵀ ∂f/∂h."""
    jacobian, a = torch.tensor(matrix), torch.tensor(adjoint)
    hidden = torch.zeros(2, requires_grad=True)
    (returned,) = torch.autograd.grad(jacobian @ hidden, hidden, grad_outputs=-a)
    numbers = {
        "returned": returned.tolist(),
        "−aᵀ ∂f/∂h": (-a @ jacobian).tolist(),
        "∂f/∂h": str(jacobian.tolist()),
    }
    return Finding(bool(torch.equal(returned, -a @ jacobian)) and returned.shape != jacobian.shape, numbers)


def gradient_of_the_first_time(step: float) -> Finding:
    """thind 7.3.1: dL/dt0 of a loss at both times, as the listing adds it up, beside a difference quotient.

    z' = t·sin(z) − z, L = z(t0)² + z(t1)². The listing takes −∂L/∂z(t0)·f(t1, z(t1)) at the last; z(t0) is given and
    does not move with t0, so nothing is to be taken.
    """

    def f(t, z):
        return t * np.sin(z) - z

    def end(t0: float) -> float:
        return float(nodekit.odeint(f, np.array(start), np.array([t0, t1]), rtol=1e-11, atol=1e-11)[-1])

    start, t0, t1 = 0.8, 0.3, 1.4
    true = float(difference_quotient(lambda t: start**2 + end(t[0]) ** 2, np.array([t0]), step)[0])
    z1 = end(t0)
    # a backwards from ∂L/∂z(t1), and with it −a f, the gradient of the first time of the end's loss alone.
    back = nodekit.odeint(
        lambda t, s: np.stack([f(t, s[0]), -s[1] * (t * np.cos(s[0]) - 1)]),
        np.array([z1, 2 * z1]),
        np.array([t1, t0]),
        rtol=1e-11,
        atol=1e-11,
    )[-1]
    alone = float(-back[1] * f(t0, start))
    numbers = {
        "difference quotient": true,
        "−a(t0) f(t0), nothing taken": alone,
        "as listed, f at t1": alone - 2 * start * f(t1, z1),
        "with f at t0": alone - 2 * start * f(t0, start),
    }
    right, *wrong = list(numbers.values())[1:]
    return Finding(abs(right - true) < 1e-6 and min(abs(value - true) for value in wrong) > 0.01, numbers)


def units_of_the_output(said: int) -> Finding:
    """thind 7.1.2: the outputs of the listing's network for one image."""
    counted = iceberg_mlp()(torch.zeros(1, 1, 75, 75)).shape[1]
    return Finding(counted != said, {"outputs": counted, "said": said})


def times_are_no_parameters() -> Finding:
    """thind 4.1.1 and 7.3.1: what the listing's optimizer moves, and whether the times are among it."""
    model = ImageODENet(Solver(method="euler", step_size=0.05))
    names = [name for name, _ in model.named_parameters()]
    times = [name for name in names if name.split(".")[-1] not in ("weight", "bias")]
    numbers = {"tensors that the optimizer moves": len(names), "neither weights nor biases": len(times)}
    return Finding(not times, numbers | {"times of the block": str(model.feature.t)})


def recycled_outputs(length: int, points: int, seed: int) -> Finding:
    """thind 7.1.2: zeros compared with fewer answers, recycled as R does, beside as many zeros as answers."""
    y = (np.abs(np.random.default_rng(seed).normal(size=points)) <= 0.5).astype(float)
    recycled = float((np.zeros(length) == np.resize(y, length)).mean())
    fitting = float((np.zeros(points) == y).mean())
    return Finding(recycled == fitting, {f"accuracy of {length} zeros": recycled, f"of {points} zeros": fitting})
