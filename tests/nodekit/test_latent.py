"""Latent ODE: a bound that is one, irregular times, and what is not observed changes nothing."""

import math

import pytest
import torch
from torch import nn

from nodekit.latent import LatentODE, RecurrentEncoder, kl_to_standard_normal


@pytest.fixture(autouse=True)
def seeded():
    """Random initial values and samples are the same in every run."""
    torch.manual_seed(0)


@pytest.fixture
def series():
    """Five series of two values at irregular times, and a mask that leaves each a different few."""
    times = torch.tensor([0.0, 0.1, 0.5, 0.6, 1.4, 2.0])
    mask = torch.rand(5, 6) < 0.6
    mask[:, 2] = True
    return torch.randn(5, 6, 2), times, mask


class Given(nn.Module):
    """An encoder that knows a distribution."""

    def __init__(self, mean, log_variance):
        super().__init__()
        self.mean, self.log_variance = mean, log_variance

    def forward(self, x, times, mask):
        return self.mean.expand(len(x), -1), self.log_variance.expand(len(x), -1)


class Still(nn.Module):
    """dz/dt = 0."""

    def forward(self, t, z):
        return torch.zeros_like(z)


def test_kl_is_that_of_torch_distributions():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    reference = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), reference)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_elbo_is_below_the_evidence_and_meets_it_at_the_posterior(shift):
    # z ~ N(0, 1) stays where it is and is observed T times with noise: evidence and posterior are known.
    noise, length = 0.5, 4
    x = torch.tensor([0.3, -0.1, 0.8, 0.4], dtype=torch.float64).view(1, length, 1)
    precision = 1 + length / noise**2
    posterior = (x.sum() / noise**2 / precision).view(1) + shift
    log_variance = torch.tensor([-math.log(precision)], dtype=torch.float64)
    model = LatentODE(
        1, 1, noise=noise, encoder=Given(posterior, log_variance), derivative=Still(), decoder=nn.Identity()
    )
    many = x.expand(20_000, -1, -1)
    elbos = model.elbo(many, torch.arange(float(length), dtype=torch.float64))
    covariance = torch.ones(length, length, dtype=torch.float64) + noise**2 * torch.eye(length, dtype=torch.float64)
    evidence = torch.distributions.MultivariateNormal(torch.zeros(length, dtype=torch.float64), covariance)
    gap = float(evidence.log_prob(x.flatten())) - float(elbos.mean())
    # The gap is KL(q ‖ posterior), here that of two normal distributions of equal variance.
    expected = shift**2 * precision / 2
    assert gap == pytest.approx(expected, abs=4 * float(elbos.std()) / math.sqrt(len(elbos)) + 1e-12)


def test_shapes(series):
    x, times, mask = series
    model = LatentODE(2, latent=3)
    mean, log_variance = model.encode(x, times, mask)
    assert mean.shape == log_variance.shape == (5, 3)
    assert model.decode(mean, times).shape == (5, 6, 2)
    assert model.elbo(x, times, mask).shape == (5,)
    assert model.predict(x, times, torch.tensor([2.5, 3.0, 9.0]), mask).shape == (5, 3, 2)


def test_what_is_not_observed_is_not_read(series):
    x, times, mask = series
    model = LatentODE(2)
    hidden = x.masked_fill(~mask[..., None], torch.nan)

    def elbo(values):
        torch.manual_seed(1)
        model.zero_grad()
        value = model.elbo(values, times, mask)
        value.sum().backward()
        return value, [parameter.grad.clone() for parameter in model.parameters()]

    torch.testing.assert_close(elbo(hidden), elbo(x.masked_fill(~mask[..., None], 7.0)))
    assert all(gradient.isfinite().all() for gradient in elbo(hidden)[1])


def test_encoder_reads_each_series_as_if_it_were_alone(series):
    x, times, mask = series
    encoder = RecurrentEncoder(2, 3)
    together = encoder(x, times, mask)
    for k in range(len(x)):
        alone = encoder(x[k : k + 1, mask[k]], times[mask[k]])
        torch.testing.assert_close([part[k : k + 1] for part in together], list(alone))


def test_encoder_ends_with_the_first_observation():
    # The influence of an observation on the last state of a contracting network fades with the steps after it.
    encoder = RecurrentEncoder(1, 1)
    with torch.no_grad():
        encoder.recurrent.weight_hh_l0.mul_(0.1)
    x = torch.randn(1, 8, 1, requires_grad=True)
    encoder(x, torch.arange(8.0))[0].sum().backward()
    assert x.grad[0, 0].abs() > 100 * x.grad[0, -1].abs()


def test_encoder_sees_the_gaps_between_times():
    x = torch.randn(1, 4, 2)
    encoder = RecurrentEncoder(2, 3)
    even, uneven = (encoder(x, torch.tensor(times))[0] for times in ([0.0, 1.0, 2.0, 3.0], [0.0, 0.1, 2.9, 3.0]))
    assert (even - uneven).abs().max() > 1e-3


def test_gradient_reaches_every_parameter(series):
    model = LatentODE(2, gradient="checkpoint")
    model.elbo(*series).mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_predicts_where_the_latent_ode_leads():
    # dz/dt = -z from a known state: predictions are its exponential decay, asked for at any later times.
    class Decay(nn.Module):
        def forward(self, t, z):
            return -z

    start = torch.tensor([2.0], dtype=torch.float64)
    encoder = Given(start, torch.zeros(1, dtype=torch.float64))
    model = LatentODE(1, 1, encoder=encoder, derivative=Decay(), decoder=nn.Identity(), rtol=1e-9, atol=1e-9)
    times = torch.tensor([1.0, 2.0], dtype=torch.float64)
    at = torch.tensor([1.5, 4.0], dtype=torch.float64)
    predicted = model.predict(torch.zeros(1, 2, 1, dtype=torch.float64), times, at)
    torch.testing.assert_close(predicted[0, :, 0], 2 * torch.exp(-(at - 1)), rtol=0, atol=1e-7)


def test_whole_times_do_not_round_what_is_predicted_between_them():
    torch.manual_seed(0)
    model, x, at = LatentODE(1), torch.randn(2, 5, 1), torch.tensor([4.5, 5.5])
    torch.testing.assert_close(model.predict(x, torch.arange(5), at), model.predict(x, torch.arange(5.0), at))
    assert (model.predict(x, torch.arange(5), at) != model.predict(x, torch.arange(5), at.floor())).any()


def test_bad_input_says_what_is_wrong(series):
    x, times, mask = series
    model = LatentODE(2)
    with pytest.raises(ValueError, match=r"times \(T,\) or \(n, T\), not \(5, 6, 2\) and \(5,\)"):
        model.elbo(x, times[:5])
    with pytest.raises(ValueError, match=r"mask must be \(n, T\) = \(5, 6\), not \(5, 5\)"):
        model.elbo(x, times, mask[:, :5])
    with pytest.raises(ValueError, match=r"float32: pass mask\.bool\(\)"):
        model.elbo(x, times, mask.float())
    empty = mask.clone()
    empty[3] = False
    with pytest.raises(ValueError, match="series 3 has no observation"):
        model.elbo(x, times, empty)
    with pytest.raises(ValueError, match="before the first time"):
        model.predict(x, times, torch.tensor([-1.0, 2.0]))


def test_the_derivative_takes_a_context_of_each_series(series):
    class Driven(nn.Module):
        def forward(self, t, z, context):
            return context.expand_as(z)

    x, times, mask = series
    model = LatentODE(2, 3, encoder=Given(torch.zeros(3), torch.full((3,), -40.0)), derivative=Driven())
    model.decoder = nn.Linear(3, 2)
    context = torch.arange(5.0)[:, None].requires_grad_()
    expected = model.decoder((times[:, None, None] * context).expand(6, 5, 3)).movedim(0, 1)
    torch.testing.assert_close(model.decode(torch.zeros(5, 3), times, context), expected)
    torch.testing.assert_close(model.predict(x, times, times[2:], mask, context), expected[:, 2:])
    (found,) = torch.autograd.grad(model.elbo(x, times, mask, context).sum(), context)
    error = torch.where(mask[..., None], x - expected, 0.0)
    (by_hand,) = torch.autograd.grad(-0.5 * (error / model.noise).square().sum(), context)
    torch.testing.assert_close(found, by_hand, rtol=1e-3, atol=1e-3)


@pytest.fixture(params=["NaN", "repeated"])
def ragged(request):
    """Three series of two values with times of their own, of which one has a single one; and how many each has."""
    rows = [[0.0, 0.3, 0.7, 1.5], [0.5, 0.6, 2.0], [1.0]]
    times = torch.tensor(
        [row + [row[-1] if request.param == "repeated" else math.nan] * (4 - len(row)) for row in rows]
    )
    x = torch.randn(3, 4, 2)
    for i, row in enumerate(rows):
        x[i, len(row) :] = math.nan  # which would spoil all that reads it
    return x, times, [len(row) for row in rows]


def test_series_with_own_times_are_modelled_as_if_each_were_alone(ragged, monkeypatch):
    """Bounds, predictions, and the bounds' gradients by all parameters."""
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.full_like(x, 0.5))
    x, times, counts = ragged
    model = LatentODE(2, latent=3, rtol=1e-6, atol=1e-6)
    at = torch.tensor([[0.0, 0.4], [0.5, 2.5], [3.0, math.nan]])
    together, predicted = model.elbo(x, times), model.predict(x, times, at)
    alone = []
    for i, n in enumerate(counts):
        own = x[i : i + 1, :n], times[i, :n]
        alone.append(model.elbo(*own)[0])
        wanted = at[i][~at[i].isnan()]
        torch.testing.assert_close(predicted[i, : len(wanted)], model.predict(*own, wanted)[0], rtol=1e-4, atol=1e-5)
    assert predicted[2, 1].isnan().all()
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-4)
    parameters = list(model.parameters())
    found, expected = (torch.autograd.grad(total, parameters) for total in (together.sum(), sum(alone)))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-3)


def test_own_times_that_are_those_of_all_change_nothing(series):
    x, times, mask = series
    model = LatentODE(2, rtol=1e-7, atol=1e-7).double()
    x, times = x.double(), times.double()
    z0, _ = model.encode(x, times, mask)
    own = times.repeat(5, 1)
    torch.testing.assert_close(model.encode(x, own, mask)[0], z0)
    torch.testing.assert_close(model.decode(z0, own), model.decode(z0, times), rtol=1e-5, atol=1e-5)
    at = torch.tensor([0.0, 2.5]).double()
    predicted = model.predict(x, times, at, mask)
    torch.testing.assert_close(model.predict(x, own, at, mask), predicted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.predict(x, times, at.repeat(5, 1), mask), predicted, rtol=1e-5, atol=1e-5)


def test_decoded_padding_is_as_its_times_are(ragged):
    _, times, counts = ragged
    model = LatentODE(2, latent=3)
    means = model.decode(torch.randn(3, 3), times)
    for i, n in enumerate(counts):
        rest = means[i, n:]
        assert means[i, :n].isfinite().all()
        assert torch.equal(rest, means[i, n - 1].expand_as(rest)) if times[i, -1].isfinite() else rest.isnan().all()


def test_bad_own_times_say_what_is_wrong(ragged):
    x, times, _ = ragged
    model = LatentODE(2)
    with pytest.raises(ValueError, match="series 1 is said to be observed at its padding"):
        model.elbo(x, times, torch.tensor([[True] * 4, [True] * 4, [True] + 3 * [False]]))
    wrong = times.clone()
    wrong[1, 1] = 9.0
    with pytest.raises(ValueError, match="times of series 1 must increase"):
        model.elbo(x, wrong)
    with pytest.raises(ValueError, match=r"cannot predict at 0\.4, before the first time 0\.5"):
        model.predict(x, times, torch.tensor([[0.4], [0.4], [2.0]]))


@pytest.mark.parametrize("own", [False, True])
def test_large_times_are_not_rounded_to_the_precision_of_the_series(own):
    torch.manual_seed(0)
    model, x = LatentODE(observed=2), torch.randn(3, 5, 2)
    times = torch.linspace(0.0, 2.0, 5, dtype=torch.float64)
    at = torch.tensor([0.0, 0.3, 1.7], dtype=torch.float64)
    if own:
        times, at = times.expand(3, -1), at.expand(3, -1)
    since = 1.7e9  # seconds since 1970, which float32 knows by 128
    for name, given in {"encode": [times], "predict": [times, at]}.items():
        found = getattr(model, name)(x, *(since + t for t in given))
        torch.testing.assert_close(found, getattr(model, name)(x, *given), rtol=1e-4, atol=1e-4)
