"""odeint takes what torchdiffeq takes, with a warning where that is ignored; solve refuses it."""

import importlib
import inspect
import math
import pickle
import sys
import warnings

import pytest
import torch
import torchdiffeq
from torch import nn

import nodekit
from nodekit import errors

Y0, T = torch.ones(3, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
BOTH = pytest.mark.parametrize("library", [nodekit, torchdiffeq], ids=lambda library: library.__name__)


class Decay(nn.Module):
    """y' = −y, counting its evaluations."""

    def __init__(self):
        super().__init__()
        self.rate, self.calls = nn.Parameter(torch.ones(1, dtype=torch.float64)), 0

    def forward(self, t, y):
        self.calls += 1
        return -self.rate * y


def until_a_third(func, y0, t, **given):
    event = lambda t, y: y[0] - 1 / 3  # noqa: E731
    return nodekit.odeint_event(func, y0, t[0], event_fn=event, **given)


def dense(func, y0, t, **given):
    return nodekit.odeint_dense(func, y0, t[0], t[1], **given)(t)


FORMS = {
    "odeint": nodekit.odeint,
    "odeint_adjoint": nodekit.odeint_adjoint,
    "odeint_event": until_a_third,
    "odeint_dense": dense,
    "independent": lambda *given, **more: nodekit.odeint(*given, batch="independent", **more),
}
ODEINT = pytest.mark.parametrize("odeint", FORMS.values(), ids=FORMS)


def numbers(result):
    return torch.cat([x.detach().reshape(-1) for x in (result if isinstance(result, tuple) else (result,))])


@ODEINT
@pytest.mark.parametrize("name", ["max_iters", "solver_step", "grid_points", "eps", "temperature", "stepsize"])
def test_an_unknown_option_is_a_warning_and_changes_nothing(odeint, name):
    with pytest.warns(UserWarning, match=f"'{name}'"):
        found = odeint(Decay(), Y0, T, options={name: 0.1})
    with warnings.catch_warnings(action="error"):
        expected = odeint(Decay(), Y0, T)
    torch.testing.assert_close(numbers(found), numbers(expected), rtol=0, atol=0)
    with pytest.raises(errors.UnknownOption, match=name):
        nodekit.solve(Decay(), Y0, T, options={name: 0.1})


def test_the_warning_names_the_nearest_option():
    with pytest.warns(UserWarning, match="Did you mean 'step_size'"):
        nodekit.odeint(Decay(), Y0, T, method="rk4", options={"stepsize": 0.1})


def test_an_unknown_option_of_the_backward_solve_is_a_warning():
    with pytest.warns(UserWarning, match="'max_iters'"):
        y = nodekit.odeint_adjoint(Decay(), Y0.clone().requires_grad_(), T, adjoint_options={"max_iters": 100})
    y.sum().backward()


@ODEINT
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "bosh3", "fehlberg2", "adaptive_heun", "dopri8"])
def test_an_adaptive_method_with_a_step_size_stays_adaptive(odeint, method):
    given = {"method": method, "rtol": 1e-5, "atol": 1e-6}
    with pytest.warns(UserWarning, match="step_size"):
        found = odeint(Decay(), Y0, T, options={"step_size": 1.0}, **given)
    torch.testing.assert_close(numbers(found), numbers(odeint(Decay(), Y0, T, **given)), rtol=0, atol=0)


@pytest.mark.parametrize("option", [{"step_size": 1.0}, {"grid_constructor": lambda func, y0, t: t}])
def test_solve_and_strict_take_the_fixed_steps_that_odeint_does_not(option):
    assert nodekit.solve(Decay(), Y0, T, options=option).stats.accepted == 1
    fixed, adaptive = Decay(), Decay()
    nodekit.odeint(fixed, Y0, T, options=option, strict=True)
    with pytest.warns(UserWarning, match=next(iter(option))):
        nodekit.odeint(adaptive, Y0, T, options=option)
    assert fixed.calls < adaptive.calls / 5


@pytest.mark.parametrize("method", ["trbdf2", "sdirk2", "radauIIA5", "radauIIA3"])
def test_implicit_methods_take_the_steps_they_are_given_as_in_torchdiffeq(method):
    with warnings.catch_warnings(action="error"):
        y = nodekit.odeint(Decay(), Y0, T, method=method, options={"step_size": 0.25})
        expected = nodekit.solve(Decay(), Y0, T, method=method, options={"step_size": 0.25})
    torch.testing.assert_close(y, expected.y, rtol=0, atol=0)
    assert expected.stats.accepted == 4


@BOTH
@pytest.mark.parametrize(
    ("method", "options", "name"),
    [
        ("rk4", {"max_num_steps": 10}, "max_num_steps"),
        ("rk4", {"first_step": 0.1}, "first_step"),
        ("scipy_solver", {"step_size": 0.1}, "step_size"),
        ("scipy_solver", {"max_num_steps": 10}, "max_num_steps"),
    ],
)
def test_what_the_steps_do_not_use_is_a_warning(library, method, options, name):
    with pytest.warns(UserWarning, match=name):
        library.odeint(lambda t, y: -y, Y0, T, method=method, options=options)


@BOTH
@pytest.mark.parametrize(
    ("method", "callback"),
    [
        ("rk4", "callback_accept_step"),
        ("euler", "callback_reject_step"),
        ("scipy_solver", "callback_step"),
        ("scipy_solver", "callback_accept_step"),
    ],
)
def test_callbacks_that_are_not_called_are_a_warning(library, method, callback):
    func, seen = Decay(), []
    setattr(func, callback, lambda t0, y0, dt: seen.append(t0))
    with pytest.warns(UserWarning, match=callback), torch.no_grad():
        library.odeint(func, Y0, T, method=method)
    assert not seen


@pytest.mark.parametrize("callback", ["callback_accept_step", "callback_reject_step"])
@pytest.mark.parametrize("method", ["radauIIA3", "radauIIA5", "sdirk2", "trbdf2"])
def test_callbacks_that_torchdiffeq_alone_does_not_call_are_a_warning(method, callback):
    func, seen = Decay(), []
    setattr(func, callback, lambda t0, y0, dt: seen.append(t0))
    with pytest.warns(UserWarning, match=f"{method} chooses its steps here and calls {callback}"), torch.no_grad():
        nodekit.odeint(func, Y0, T, method=method)
    assert bool(seen) == (callback == "callback_accept_step")
    with pytest.warns(UserWarning, match="does not call"), torch.no_grad():
        nodekit.odeint(func, Y0, T, method=method, options={"step_size": 0.5})
    with warnings.catch_warnings(action="error"), torch.no_grad():
        nodekit.solve(func, Y0, T, method=method)


def test_callbacks_of_a_backward_solve_of_fixed_steps_that_are_not_called_are_a_warning():
    func = Decay()
    func.callback_accept_step_adjoint = lambda t0, y0, dt: None
    with pytest.warns(UserWarning, match="callback_accept_step_adjoint"):
        nodekit.odeint_adjoint(func, Y0, T, method="rk4")


@BOTH
@pytest.mark.parametrize("gradient", ["odeint", "odeint_adjoint"])
def test_slopes_of_a_tuple_need_only_have_the_right_numbers_of_entries(library, gradient):
    def func(t, state):
        y, trace = state
        return (-y).reshape(-1), -trace.reshape(-1)

    start = (torch.arange(1.0, 9.0).reshape(4, 2).requires_grad_(), torch.ones(4, 1))
    more = {"adjoint_params": ()} if gradient == "odeint_adjoint" else {}
    y, trace = getattr(library, gradient)(func, start, T.float(), **more)
    torch.testing.assert_close(y[-1], start[0] * math.exp(-1), rtol=1e-5, atol=0)
    torch.testing.assert_close(trace[-1], torch.full((4, 1), math.exp(-1)), rtol=1e-5, atol=0)
    (found,) = torch.autograd.grad(y[-1].sum(), start[0])
    torch.testing.assert_close(found, torch.full((4, 2), math.exp(-1)), rtol=1e-4, atol=0)


@BOTH
def test_a_single_number_has_any_shape(library):
    y = library.odeint(lambda t, y: -y.reshape(1, 1), torch.ones(1), T.float())
    torch.testing.assert_close(y[-1], torch.full((1,), math.exp(-1)), rtol=1e-5, atol=0)


def test_other_slopes_of_another_shape_are_refused():
    """A tensor's: broadcasting would hide the fault. A tuple's, where the numbers of entries differ; and by solve."""
    with pytest.raises(errors.InvalidDerivative, match=r"shape \(3, 1\)"):
        nodekit.odeint(lambda t, y: -y.reshape(3, 1), Y0, T)
    with pytest.raises(errors.InvalidDerivative, match=r"shape \(1,\)"):
        nodekit.odeint(lambda t, state: (-state[0][:1],), (Y0,), T)
    with pytest.raises(errors.InvalidDerivative, match=r"shape \(3, 1\)"):
        nodekit.solve(lambda t, state: (-state[0].reshape(3, 1),), (Y0,), T)


@BOTH
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_list_of_one_tolerance_is_that_tolerance(library, method):
    y = library.odeint(lambda t, y: -y, Y0, T, rtol=[1e-6], atol=[1e-8], method=method, options={})
    expected = library.odeint(lambda t, y: -y, Y0, T, rtol=1e-6, atol=1e-8, method=method, options={})
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-7)


@BOTH
def test_programs_find_the_failures_they_look_for(library):
    with pytest.raises(AssertionError, match=r"^underflow in dt"):
        library.odeint(lambda t, y: y**2, torch.ones(1), torch.tensor([0.0, 2.0]))
    with pytest.raises(AssertionError, match=r"^max_num_steps exceeded"):
        library.odeint(lambda t, y: torch.cos(100 * t) * y, Y0, 10 * T, options={"max_num_steps": 7})
    with pytest.raises(AssertionError):
        library.odeint(lambda t, y: y * math.nan, Y0, T)


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_failures_keep_their_own_information_and_survive_pickling(batch):
    solution = nodekit.solve(lambda t, y: y**2, torch.ones(1, 1), [0.0, 2.0], batch=batch, throw=False)
    failure = solution.status if batch == "shared" else solution.status.failures[0]
    assert isinstance(failure, errors.StepSizeUnderflow)
    assert "underflow in dt: " in str(solution.status)
    assert failure.t == pytest.approx(1.0, abs=1e-3)
    again = pickle.loads(pickle.dumps(failure))
    assert str(again) == str(failure)
    assert again.t == failure.t


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_one_time_alone_is_a_warning(batch):
    with pytest.warns(UserWarning, match="one time"):
        y = nodekit.odeint(lambda t, y: -y, torch.ones(2, 1), torch.tensor([1.0]), batch=batch)
    torch.testing.assert_close(y, torch.ones(1, 2, 1))
    with warnings.catch_warnings(action="error"):
        until_a_third(Decay(), Y0, T)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3).double()

    def forward(self, t, y):
        return nn.functional.dropout(self.layer(y))


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
@pytest.mark.parametrize("what", ["options", "time", "randomness", "callbacks", "layer"])
def test_warnings_point_at_the_line_of_the_user(gradient, what):
    func, options, t = Decay(), {"step_size": 0.25, "max_iters": 1} if what == "options" else {"step_size": 0.25}, T
    if what == "time":
        t = T[:1]
    if what in ("randomness", "layer"):
        func = Noisy()
    if what == "callbacks":
        func.callback_accept_step = print
    given = {"method": "rk4", "options": options, "gradient": gradient}
    layer = nn.Sequential(nodekit.NeuralODE(func, **given))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if what == "layer":
            layer(Y0)
            line = inspect.currentframe().f_lineno - 1
        else:
            nodekit.odeint(func, Y0, t, **given)
            line = inspect.currentframe().f_lineno - 1
    assert caught
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}


@pytest.fixture
def as_torchdiffeq(monkeypatch):
    """nodekit in torchdiffeq's place, as a program's shim puts it there."""
    kept = [name for name in sys.modules if name.split(".")[0] == "torchdiffeq"]
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchdiffeq", nodekit)
    yield
    for name in [name for name in sys.modules if name.startswith("torchdiffeq.")]:
        del sys.modules[name]
    nodekit._impl = sys.modules["nodekit._impl"]  # which the import under another name has replaced


def test_private_names_of_torchdiffeq_that_programs_import(as_torchdiffeq):
    before = {name for name in sys.modules if name.startswith("nodekit")}
    solvers = importlib.import_module("torchdiffeq._impl.odeint").SOLVERS
    names = {}
    exec("from torchdiffeq._impl.odeint import SOLVERS\nfrom torchdiffeq._impl.adjoint import find_parameters", names)
    assert names["SOLVERS"] == solvers
    assert solvers["dopri5"] is nodekit.METHODS["dopri5"]
    module = nn.Linear(2, 3)
    assert [id(x) for x in names["find_parameters"](module)] == [id(x) for x in module.parameters()]
    assert {name for name in sys.modules if name.startswith("nodekit")} == before
    loaded = {name for name in sys.modules if name.startswith("torchdiffeq.")}
    assert loaded == {f"torchdiffeq._impl{part}" for part in ("", ".odeint", ".adjoint")}  # no second library


def test_every_solver_of_torchdiffeq_has_its_name_here():
    theirs = importlib.import_module("torchdiffeq._impl.odeint").SOLVERS
    assert set(theirs) <= set(nodekit._impl.odeint.SOLVERS)
    for name in nodekit._impl.odeint.SOLVERS:
        with torch.no_grad():
            y = nodekit.odeint(
                lambda t, y: -y, Y0, torch.linspace(0, 1, 33).double(), method=name, rtol=1e-5, atol=1e-6
            )
        torch.testing.assert_close(y[-1], Y0 * math.exp(-1), rtol=0.1, atol=0)


def test_the_version_is_a_string_of_numbers():
    assert [int(part) for part in nodekit.__version__.split(".")][:2] >= [0, 1]


@BOTH
def test_parameters_of_a_replica_are_found(library):
    """torch.nn.DataParallel's replicas hold plain tensors in place of parameters."""
    find = importlib.import_module(f"{library.__name__}._impl.adjoint").find_parameters
    replica = nn.Linear(2, 2)._replicate_for_data_parallel()
    replica._parameters = {}
    replica.weight = torch.ones(2, 2, requires_grad=True) * 2
    assert [id(x) for x in find(replica)] == [id(replica.weight)]
