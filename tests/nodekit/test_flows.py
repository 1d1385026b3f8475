"""Flows: densities that integrate to one, maps that invert, log-determinants and traces held to autograd's."""

import math

import pytest
import torch

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
