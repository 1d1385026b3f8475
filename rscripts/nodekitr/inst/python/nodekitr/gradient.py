"""Gradients through the solve of an R function, whose own derivatives R gives."""

import numpy as np
import torch

import nodekit

from .ode import watched, with_grid


class Through(torch.autograd.Function):
    """An R function of (t, y) that depends on parameters, differentiated by another R function.

    Args:
        y, parms: (n,) and (p,) tensors; R knows the values of parms.
        call: R's (t, y) → (n,) array.
        pull: R's (t, y, weights) → (n + p,) array, the gradients of the weighted sum of call's values.
        t: a number.
    """

    @staticmethod
    def forward(ctx, y, parms, call, pull, t):
        ctx.save_for_backward(y)
        ctx.pull, ctx.t = pull, t
        return torch.from_numpy(np.array(call(t, y.detach().numpy())))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weights):
        (y,) = ctx.saved_tensors
        # Of a batch of weights, where torch makes one, each has its turn.
        found = torch.from_numpy(np.array(ctx.pull(ctx.t, y.numpy(), weights.contiguous().numpy())))
        return found[: len(y)], found[len(y) :], None, None, None


def gradient(call, pull, loss, change, pull_change, y0, parms, rows, pieces, *, method, rtol, atol, gradient):
    """The value of a loss of the solution, and its gradients with respect to y0 and parms.

    Args:
        call, pull: the derivative, as in `Through`; change, pull_change: what happens to the state at events, or None.
        loss: R's (rows, n) array → {"value", "states", "parms"}: its value and its gradients.
        y0: (n,) array; parms: (p,) array.
        rows: (T,) array, the times.
        pieces: from event to event {"from": row, "to": row, "options": of the solve, "change": whether it starts with
            an event}.
        method, rtol, atol, gradient: as of `nodekit.solve`.
    """
    y0, parms = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (y0, np.atleast_1d(parms)))

    def derivative(t, y):
        return Through.apply(y, parms, call, pull, float(t))

    states, now, steps = [y0[None]], y0, 0
    for piece in pieces:
        times = rows[piece["from"] : piece["to"]]
        if piece["change"]:
            now = Through.apply(now, parms, change, pull_change, float(times[0]))
        func = watched(derivative, times, method)
        solution = nodekit.solve(
            func, now, times, rtol=rtol, atol=atol, method=method, options=with_grid(piece["options"]),
            gradient=gradient, params=[parms],
        )  # fmt: skip
        func.active = False  # the backward pass goes another way through time
        states.append(solution.y[1:])
        now = solution.y[-1]
        steps += solution.stats.accepted + solution.stats.rejected
    y = torch.cat(states)
    found = loss(y.detach().numpy())
    weights = torch.from_numpy(np.array(found["states"], dtype=float)).reshape(y.shape)
    by_y0, by_parms = torch.autograd.grad(y, (y0, parms), weights, allow_unused=True, materialize_grads=True)
    return {
        "value": found["value"], "y": by_y0.numpy(), "parms": by_parms.numpy() + np.atleast_1d(found["parms"]),
        "steps": steps,
    }  # fmt: skip
