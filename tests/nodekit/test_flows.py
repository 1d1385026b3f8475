"""Flows: densities that integrate to one, maps that invert, log-determinants and traces held to autograd's."""

import math

import pytest
import torch
from torch import nn

import nodekit
from nodekit.flows import TRACES, ContinuousFlow, HyperPlanarField, MLPField, PlanarFlow, StandardNormal

PRECISE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(autouse=True)
def seeded():
    """Random initial values and probes are the same in every run."""
    torch.manual_seed(0)


class LinearField(torch.nn.Module):
    """dz/dt = A z, whose flow is exp(At) with log-determinant t · tr A."""

    def __init__(self, matrix):
        super().__init__()
        self.dimension = len(matrix)
        self.matrix = torch.nn.Parameter(torch.tensor(matrix, dtype=torch.float64))

    def forward(self, t, z):
        return z @ self.matrix.T


def bent(flow):
    """`flow` in float64, its parameters made large enough to bend space visibly."""
    flow = flow.double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.6 * torch.randn_like(parameter))
    return flow


def flows(dimension=2, **solver):
    """A flow of each kind."""
    return {
        "planar": bent(PlanarFlow(dimension, depth=6)),
        "hyper": bent(ContinuousFlow(HyperPlanarField(dimension, hidden=8, width=4), **solver)),
        "free": bent(ContinuousFlow(MLPField(dimension, hidden=(8, 8)), **solver)),
    }


@pytest.mark.parametrize("kind", ["planar", "hyper", "free"])
def test_density_integrates_to_one(kind):
    flow = flows()[kind]
    axis = torch.linspace(-10, 10, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["planar", "hyper", "free"])
def test_inverse_after_forward_is_the_identity(kind):
    flow = flows(3, **PRECISE)[kind]
    x = torch.randn(20, 3, dtype=torch.float64)
    z, logdet = flow(x)
    back, inverse_logdet = flow.inverse(z)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(back, x, rtol=0, atol=1e-7)
    torch.testing.assert_close(inverse_logdet, -logdet, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["planar", "hyper", "free"])
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_determinant_is_that_of_the_jacobian(kind, direction):
    flow = flows(3, **PRECISE)[kind]
    transform = getattr(flow, direction)
    for point in torch.randn(2, 3, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(lambda x: transform(x[None])[0][0], point)
        logdet = transform(point[None])[1][0]
        assert logdet.item() == pytest.approx(jacobian.det().abs().log().item(), abs=1e-6)


def test_planar_layers_stay_invertible_whatever_the_parameters():
    flow = PlanarFlow(2, depth=50).double()
    with torch.no_grad():
        flow.weight.normal_(0, 10)
        flow.direction.normal_(0, 10)
    assert all(slope > -1 for *_, slope in flow.layers())
    for weight, _, direction, slope in flow.layers():
        assert (weight @ direction).item() == pytest.approx(slope.item(), abs=1e-9)


def test_planar_layers_can_be_applied_in_two_parts():
    flow = bent(PlanarFlow(2, depth=3))
    z = torch.randn(5, 2, dtype=torch.float64)
    middle, _ = flow.inverse(z, after=2)
    torch.testing.assert_close(flow(middle, after=2)[0], z)
    x, _ = flow.inverse(z)
    # The density of the data, times the change of area up to the middle, is the density there.
    change = flow(x)[1] - flow(middle, after=2)[1]
    torch.testing.assert_close(flow.log_prob(middle, after=2), flow.log_prob(x) - change)
    torch.testing.assert_close(flow.log_prob(z, after=3), flow.base.log_prob(z))


def test_planar_inverse_has_the_gradient_of_the_implicit_function():
    flow = bent(PlanarFlow(2, depth=2))
    z = torch.randn(3, 2, dtype=torch.float64)

    def inverse(weight):
        original, flow._parameters["weight"] = flow._parameters["weight"], weight
        try:
            return flow.inverse(z)[0]
        finally:
            flow._parameters["weight"] = original

    assert torch.autograd.gradcheck(inverse, flow.weight.detach().clone().requires_grad_())


def test_linear_flow_has_the_analytic_log_determinant_and_density():
    matrix = [[0.3, -1.2], [0.8, 0.4]]
    flow = ContinuousFlow(LinearField(matrix), StandardNormal(2).double(), t=(0.0, 0.7), **PRECISE)
    transform = torch.matrix_exp(0.7 * torch.tensor(matrix, dtype=torch.float64))
    x = torch.randn(6, 2, dtype=torch.float64)
    z, logdet = flow(x)
    torch.testing.assert_close(z, x @ transform.T, rtol=0, atol=1e-7)
    torch.testing.assert_close(logdet, torch.full((6,), 0.7 * 0.7, dtype=torch.float64), rtol=0, atol=1e-8)
    # The data of a linear flow to a normal distribution are normal with covariance (TᵀT)⁻¹.
    covariance = torch.linalg.inv(transform.T @ transform)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)
    torch.testing.assert_close(flow.log_prob(x), normal.log_prob(x), rtol=0, atol=1e-7)


def test_closed_form_trace_equals_autograd():
    field = HyperPlanarField(3, hidden=8, width=5).double()
    t, z = torch.tensor(0.3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    for ours, reference in zip(field.with_trace(t, z), TRACES["autograd"][0](field, t, z), strict=True):
        torch.testing.assert_close(ours, reference)


def test_trace_equals_the_diagonal_of_the_jacobian():
    field = MLPField(4, hidden=(8,)).double()
    t, z = torch.tensor(0.3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: field(t, z), z)
    with torch.no_grad():
        _, trace = TRACES["exact"][0](field, t, z[None])
    assert float(trace) == pytest.approx(float(jacobian.trace()))


@pytest.mark.parametrize("trace", ["hutchinson", "hutchinson_gaussian"])
def test_hutchinson_is_unbiased(trace):
    field = MLPField(3, hidden=(8,)).double()
    t, z = torch.tensor(0.3, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    many = z.expand(20_000, 3)
    estimate, draw = TRACES[trace]
    estimates = estimate(field, t, many, draw(many))[1].detach()
    exact = TRACES["exact"][0](field, t, z)[1].item()
    standard_error = estimates.std().item() / math.sqrt(len(estimates))
    assert standard_error > 0
    assert estimates.mean().item() == pytest.approx(exact, abs=4 * standard_error)


def test_hutchinson_keeps_its_probe_throughout_a_solve():
    matrix = [[0.0, 2.0], [0.0, 0.0]]  # no trace, but εᵀAε is 2 for equal signs and -2 for others
    flow = ContinuousFlow(LinearField(matrix), StandardNormal(2).double(), trace="hutchinson")
    logdet = flow(torch.zeros(50, 2, dtype=torch.float64))[1].detach()
    torch.testing.assert_close(logdet.abs(), torch.full_like(logdet, 2.0), rtol=0, atol=1e-9)
    assert logdet.min() < 0 < logdet.max()


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_gradient_of_the_likelihood_is_that_of_finite_differences(gradient):
    flow = bent(ContinuousFlow(MLPField(2, hidden=(6,)), gradient=gradient, rtol=1e-8, atol=1e-8))
    x = torch.randn(10, 2, dtype=torch.float64)
    parameter = flow.field.network[0].weight
    flow.log_prob(x).mean().backward()
    values = []
    for step in (1e-4, -1e-4):
        with torch.no_grad():
            parameter[0, 0] += step
            values.append(float(flow.log_prob(x).mean()))
            parameter[0, 0] -= step
    assert float(parameter.grad[0, 0]) == pytest.approx((values[0] - values[1]) / 2e-4, abs=1e-6)


def test_trajectory_passes_through_the_ends_and_density_follows_it():
    flow = bent(ContinuousFlow(HyperPlanarField(2, hidden=8, width=4), **PRECISE))
    x = torch.randn(8, 2, dtype=torch.float64)
    with torch.no_grad():
        points, logdets = flow.trajectory(x, [0.0, 0.4, 1.0])
        torch.testing.assert_close(points[-1], flow(x)[0], rtol=0, atol=1e-7)
        middle = flow.log_prob(points[1], time=0.4)
        torch.testing.assert_close(middle, flow.log_prob(x) - logdets[1], rtol=0, atol=1e-6)
        torch.testing.assert_close(flow.log_prob(points[2], time=1.0), flow.base.log_prob(points[2]))


def test_samples_have_the_moments_of_a_linear_flow():
    flow = ContinuousFlow(LinearField([[0.5, 0.0], [0.0, -0.5]]), StandardNormal(2).double())
    samples = flow.sample(4000)
    assert samples.shape == (4000, 2)
    expected = torch.tensor([math.exp(-0.5), math.exp(0.5)], dtype=torch.float64)
    torch.testing.assert_close(samples.std(0), expected, rtol=0.05, atol=0)


def test_likelihood_of_a_scaling_is_greatest_at_the_scale_of_the_data():
    x = 3 * torch.randn(500, 1, dtype=torch.float64)
    # z = exp(A) x should have variance one.
    best = -math.log(x.square().mean().sqrt().item())
    flow = ContinuousFlow(LinearField([[best]]), StandardNormal(1).double(), **PRECISE)
    (slope,) = torch.autograd.grad(flow.log_prob(x).mean(), flow.field.matrix)
    assert slope.item() == pytest.approx(0, abs=1e-6)


def test_a_field_that_ignores_its_point_has_no_trace():
    class Wind(torch.nn.Module):
        dimension = 2

        def forward(self, t, z):
            return torch.ones_like(z)

    z, logdet = ContinuousFlow(Wind())(torch.zeros(3, 2))
    torch.testing.assert_close(z, torch.ones(3, 2))
    torch.testing.assert_close(logdet, torch.zeros(3))


@pytest.mark.parametrize("trace", ["exact", "autograd", "hutchinson"])
def test_inference_mode_changes_nothing(trace):
    flow = bent(ContinuousFlow(MLPField(2, hidden=(8,)), trace=trace))
    x, found = torch.randn(5, 2, dtype=torch.float64), []
    for mode in (torch.no_grad, torch.inference_mode):
        torch.manual_seed(1)
        with mode():
            found.append(torch.stack([flow(x)[1], flow.log_prob(x)]))
    assert found[0][0].abs().min() > 0.01
    torch.testing.assert_close(found[1].clone(), found[0], rtol=1e-10, atol=1e-10)


def test_unknown_trace_names_the_nearest():
    with pytest.raises(nodekit.errors.UnknownOption, match="'hutchinson'"):
        ContinuousFlow(MLPField(2), trace="hutchison")


class ScaledBy(torch.nn.Module):
    """dz/dt = context · z, whose flow over a time T multiplies by exp(context · T)."""

    def forward(self, t, z, context):
        return context * z


def conditional_normal(x, context, end):
    """The log-density of data that a flow of `ScaledBy` makes standard normal, of deviation exp(−context T)."""
    return torch.distributions.Normal(0.0, torch.exp(-context * end)).log_prob(x).sum(-1)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated"])
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_a_conditional_flow_has_the_density_of_its_context_and_the_gradient_by_it(gradient, trace):
    flow = ContinuousFlow(ScaledBy(), trace=trace, t=(0.0, 0.7), gradient=gradient, **PRECISE)
    x = torch.randn(6, 2, dtype=torch.float64)
    context = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None].requires_grad_()
    found, expected = flow.log_prob(x, context), conditional_normal(x, context, 0.7)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    by_context = [torch.autograd.grad(value.sum(), context)[0] for value in (found, expected)]
    torch.testing.assert_close(*by_context, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint"])
def test_one_flow_serves_several_contexts_before_one_backward_pass(gradient):
    """Each of them is that of its own call, and computed ones pass the gradient on to what made them."""
    flow = ContinuousFlow(ScaledBy(), gradient=gradient, **PRECISE)
    x, root = torch.randn(6, 1, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    found = sum(flow.log_prob(x, factor * root).sum() for factor in (1.0, -2.0))
    expected = sum(conditional_normal(x, factor * root, 1.0).sum() for factor in (1.0, -2.0))
    by_root = [torch.autograd.grad(value, root)[0] for value in (found, expected)]
    torch.testing.assert_close(*by_root, rtol=0, atol=1e-6)


def test_a_conditional_flow_goes_both_ways_and_has_samples():
    torch.manual_seed(1)
    flow = ContinuousFlow(ScaledBy(), StandardNormal(2).double(), **PRECISE)
    x, context = torch.randn(5, 2, dtype=torch.float64), torch.rand(5, 1, dtype=torch.float64)
    z, logdet = flow(x, context)
    torch.testing.assert_close(z, x * torch.exp(context), rtol=1e-6, atol=0)
    torch.testing.assert_close(logdet, 2 * context[:, 0], rtol=1e-6, atol=0)
    torch.testing.assert_close(flow.inverse(z, context)[0], x, rtol=1e-6, atol=0)
    torch.testing.assert_close(flow.log_prob(z, context, time=1.0), flow.base.log_prob(z))
    samples = flow.sample(4000, torch.tensor([[0.5]], dtype=torch.float64))
    torch.testing.assert_close(samples.std(0), torch.full((2,), math.exp(-0.5)).double(), rtol=0.05, atol=0)


def test_a_free_form_field_takes_a_context():
    flow = bent(ContinuousFlow(MLPField(2, hidden=(8,), context=3), **PRECISE))
    x, context = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    together = flow.log_prob(x, context)
    alone = torch.stack([flow.log_prob(x[i], context[i]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert (together - flow.log_prob(x, context.flip(0))).abs().max() > 0.01
    torch.testing.assert_close(flow.log_prob(x, context[0]), flow.log_prob(x, context[:1].expand(4, 3)))


def test_an_own_field_needs_no_dimension_but_for_samples():
    field = LinearField([[0.3, -1.2], [0.8, 0.4]])
    with_dimension = ContinuousFlow(field, StandardNormal(2).double(), **PRECISE)
    del field.dimension
    flow, x = ContinuousFlow(field, **PRECISE), torch.randn(6, 2, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(x), with_dimension.log_prob(x))
    with pytest.raises(nodekit.errors.InvalidState, match="dimension"):
        flow.sample(3)
    assert with_dimension.sample(3).shape == (3, 2)


def test_a_learned_end_time_gets_its_gradient():
    def likelihood(end):
        torch.manual_seed(1)
        flow = ContinuousFlow(MLPField(2), t=(0.0, end), rtol=1e-9, atol=1e-9).double()
        return flow, flow.log_prob(torch.tensor([[0.3, -0.4], [1.0, 2.0]], dtype=torch.float64)).sum()

    end, h = nn.Parameter(torch.tensor(0.8, dtype=torch.float64)), 1e-5
    (found,) = torch.autograd.grad(likelihood(end)[1], end)
    difference = (likelihood(0.8 + h)[1] - likelihood(0.8 - h)[1]) / (2 * h)
    assert found.item() == pytest.approx(difference.item(), rel=1e-6)
    flow, _ = likelihood(torch.tensor(0.8, dtype=torch.float64))
    x = torch.randn(3, 2, dtype=torch.float64)
    torch.testing.assert_close(flow.inverse(flow(x)[0])[0], x, rtol=1e-6, atol=1e-6)


def test_a_path_at_large_times_is_that_at_small_ones():
    torch.manual_seed(0)
    flow, x = ContinuousFlow(MLPField(2)), torch.randn(3, 2)
    at = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    field = flow.field
    flow.field = Standing(field)
    expected = flow.trajectory(x, at)[0]
    # In float32 these times are all the same.
    torch.testing.assert_close(flow.trajectory(x, 1.7e9 + at)[0], expected, rtol=1e-5, atol=1e-5)


class Standing(nn.Module):
    """A field as it is at t = 0, at all times."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, t, z):
        return self.field(torch.zeros_like(t), z)


def test_planar_inverse_has_second_derivatives():
    torch.manual_seed(2)
    flow = PlanarFlow(2, 3).double()
    z = torch.randn(4, 2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(
        lambda z, bias: flow_with(flow, bias).inverse(z), (z.requires_grad_(), flow.bias)
    )


def flow_with(flow, bias):
    """A copy of a planar flow with another bias."""
    copied = PlanarFlow(2, 3).double()
    del copied.bias
    copied.weight, copied.direction, copied.bias = flow.weight, flow.direction, bias
    return copied
