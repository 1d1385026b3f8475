"""A program that uses the public face with types: `make lint` checks it strictly, and nobody runs it.

Each `assert_type` says what a user's editor and type checker know of a result.
"""

from typing import Any, assert_type

import torch
from torch import Tensor, nn

import nodekit
from nodekit import errors, flows, latent


class Field(nn.Module):
    """A derivative as users write it."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -y


def fall(t: Tensor, y: Tensor) -> Tensor:
    return -y


y0, t = torch.ones(3), torch.linspace(0, 1, 5)

solution = nodekit.solve(
    Field(), y0, t, method="dopri5", rtol=1e-6, atol=1e-6, gradient="checkpoint", options={"step_size": 0.1}
)
assert_type(solution, nodekit.Solution)
assert_type(solution.success, bool)
assert_type(solution.stats, nodekit.Stats)
assert_type(solution.stats.nfe_forward, int)
assert_type(solution.status, errors.SolveFailed | None)
assert_type(solution.events, nodekit.Occurrences | None)
assert_type(solution.dense, nodekit.DenseSolution | None)

# The state is whatever y0 is, nested or not, which no annotation of ours can follow.
assert_type(nodekit.odeint(fall, y0, t), Any)
assert_type(nodekit.odeint_dense(fall, y0, 0.0, 1.0), nodekit.DenseSolution)
end, states = nodekit.odeint_event(fall, y0, 0.0, event_fn=lambda t, y: y[0] - 0.5)
assert_type(end, Tensor)

ground = nodekit.Event(lambda t, y: y[0], direction=-1, max_count=4)
assert_type(ground.max_count, int | None)
nodekit.solve(fall, y0, t, events=[ground, lambda t, y: y[1]], args=(1.0,), params=[y0])

block = nodekit.NeuralODE(Field(), t=(0.0, 1.0), gradient="adjoint")
assert_type(block.nfe_forward, int)
forcing = nodekit.Forcing(t, y0, kind="linear")
assert_type(forcing.breaks, list[float] | Tensor)
assert_type(nodekit.METHODS["dopri5"].order, int)

flow = flows.ContinuousFlow(flows.MLPField(2))
assert_type(flow.sample(3), Tensor)
assert_type(flow.log_prob(torch.zeros(3, 2)), Tensor)
model = latent.LatentODE(2)
assert_type(model.elbo(torch.zeros(1, 5, 2), t), Tensor)

try:
    nodekit.solve(fall, y0, t)
except nodekit.NodekitError as error:
    assert_type(error.remedy, str)
