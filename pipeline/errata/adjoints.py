"""The documents' equations of the adjoint, evaluated on the small problem of row A5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import expm

import nodekit
from pipeline.compute.adjoint import SmallProblem, difference_quotient, integral, small_problem
from pipeline.errata.finding import Finding

PROBLEM = {"matrix": [[0.8, -1.5], [1.2, 0.4]], "initial": [1.0, -0.5], "target": [0.0, 0.5], "span": [0.0, 2.0]}


def relative(found: np.ndarray, true: np.ndarray) -> float:
    """The relative distance of `found` from `true`."""
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def carried_back(problem: SmallProblem, sign: float) -> np.ndarray:
    """∫ a f_z dt from t0 to t1, where a(t1) = sign·∂L/∂z(t1)."""

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        z, a = state[:2], state[2:4]
        flow = a @ problem.f_z(t, z)
        return np.concatenate([problem.f(t, z), -flow, flow])

    end = np.concatenate([problem.solve(), sign * problem.loss_z1(), np.zeros(2)])
    return -integral(slope, end, problem.t1, problem.t0)[4:]


def sign_conventions() -> Finding:
    """a = −∂L/∂z (thind, reading 1) and a = +∂L/∂z (slides, homework, reading 2): the same gradients."""
    problem = small_problem(PROBLEM)
    plus, minus = (np.concatenate(problem.adjoint(sign)[1:]) for sign in (1.0, -1.0))
    gap = float(np.abs(plus + minus).max())
    return Finding(
        gap < 1e-10, {"largest difference of the gradients": gap, "largest gradient": float(np.abs(plus).max())}
    )


def no_initial_state() -> Finding:
    """thind eq. (15): the integral of f alone, beside the state at t1."""
    problem = small_problem(PROBLEM)
    end = problem.solve()
    alone = integral(lambda t, s: np.r_[problem.f(t, s[:2]), problem.f(t, s[:2])], np.r_[problem.start, 0, 0], 0.0, 2.0)
    left_out = end - alone[2:]
    numbers = {
        "relative error of ∫ f dt": relative(alone[2:], end),
        "with z(t0) added": relative(alone[2:] + problem.start, end),
    }
    return Finding(bool(np.allclose(left_out, problem.start)) and numbers["relative error of ∫ f dt"] > 1e-3, numbers)


def no_end_value() -> Finding:
    """thind eq. (20), with a = −∂R/∂z and from t1 to t0: it leaves out ∂R/∂z(t1)."""
    problem = small_problem(PROBLEM)
    true = difference_quotient(lambda z: replace(problem, start=z).loss(), problem.start)
    # ∫ a f_z dt from t1 to t0 is minus that from t0 to t1.
    printed = -carried_back(problem, sign=-1.0)
    numbers = {
        "relative error of (20)": relative(printed, true),
        "with ∂R/∂z(t1) added": relative(printed + problem.loss_z1(), true),
    }
    return Finding(numbers["with ∂R/∂z(t1) added"] < 1e-8 < numbers["relative error of (20)"], numbers)


def gradient_of_parameters() -> Finding:
    """thind eq. (21): its right side has the size and the value of dR/dθ, not of ∂R/∂z."""
    problem = small_problem(PROBLEM)
    by_theta = difference_quotient(lambda w: replace(problem, matrix=w).loss(), problem.matrix)
    by_state = problem.adjoint()[1]
    right = -problem.adjoint(sign=-1.0)[2]
    numbers = {
        "numbers in the right side": right.size,
        "in θ": by_theta.size,
        "in z": by_state.size,
        "relative difference from dR/dθ": relative(right, by_theta),
    }
    return Finding(right.size == by_theta.size != by_state.size and relative(right, by_theta) < 1e-8, numbers)


def coupled_equations() -> Finding:
    """thind 4.1.2: how the slopes of a and of the θ gradient change with z and a: were they independent, not at all."""
    problem = small_problem(PROBLEM)
    t, z, a, step = 0.4, np.array([0.3, -0.2]), np.array([0.7, 0.1]), 1e-6

    def slopes(z: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -a @ problem.f_z(t, z), -a @ problem.f_theta(t, z)

    numbers = {}
    for name, moved in (("z", (z + step, a)), ("a", (z, a + step))):
        for of, now, was in zip(("a'", "θ gradient's slope"), slopes(*moved), slopes(z, a), strict=True):
            numbers[f"change of {of} with {name}"] = float(np.linalg.norm(now - was) / step)
    return Finding(all(value > 1e-3 for value in numbers.values()), numbers)


def wrong_sign_of_the_integral() -> Finding:
    """homework task 8: a(t) = a(T) ∓ ∫ a J dτ from t to T, at t = t0, beside ∂L/∂x(t0) by differences."""
    problem = small_problem(PROBLEM)
    true = difference_quotient(lambda z: replace(problem, start=z).loss(), problem.start)
    carried, end = carried_back(problem, sign=1.0), problem.loss_z1()
    numbers = {
        "relative error, a(T) − ∫ a J dτ (as printed)": relative(end - carried, true),
        "relative error, a(T) + ∫ a J dτ": relative(end + carried, true),
    }
    wrong, right = numbers.values()
    return Finding(right < 1e-8 < wrong, numbers)


def gradient_of_the_end_time() -> Finding:
    """thind 7.3.1: the listing starts the time gradient at −∂L/∂z·f and returns that for t1, of other sign."""
    problem = small_problem(PROBLEM)
    times = np.array([problem.t0, problem.t1])
    true = difference_quotient(lambda t: replace(problem, t0=t[0], t1=t[1]).loss(), times)[1]
    listed = -float(problem.loss_z1() @ problem.f(problem.t1, problem.solve()))
    return Finding(bool(np.isclose(listed, -true)), {"dL/dt1": float(true), "returned by the listing": listed})


def state_needed_backwards() -> Finding:
    """reading 2: the backward equations need z(t); with z held at z(t1) they give another gradient."""
    problem = small_problem(PROBLEM)
    end = problem.solve()

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        a = state[:2]
        return np.concatenate([-a @ problem.f_z(t, end), -a @ problem.f_theta(t, end)])

    held = integral(slope, np.concatenate([problem.loss_z1(), np.zeros(4)]), problem.t1, problem.t0)[2:]
    true = difference_quotient(lambda w: replace(problem, matrix=w).loss(), problem.matrix)
    numbers = {
        "relative error, z held at z(t1)": relative(held, true),
        "relative error, z solved backwards too": relative(problem.adjoint()[2], true),
    }
    frozen, solved = numbers.values()
    return Finding(solved < 1e-8 < frozen, numbers)


def two_solves_are_enough() -> Finding:
    """ulala 2.3.2: one solve forwards and one of the augmented state backwards give all gradients."""
    problem = small_problem(PROBLEM)
    gradients = np.concatenate(problem.adjoint()[1:])
    by_start = difference_quotient(lambda z: replace(problem, start=z).loss(), problem.start)
    by_theta = difference_quotient(lambda w: replace(problem, matrix=w).loss(), problem.matrix)
    error = relative(gradients, np.concatenate([by_start, by_theta]))
    return Finding(error < 1e-8, {"solves": 2, "solves said": 3, "relative error of all gradients": error})


def products_with_the_jacobian(matrix: list[list[float]], adjoint: list[float]) -> Finding:
    """slides: aᵀJ, which reverse mode and `output_gradients` give, is not Ja, the Jacobian-vector product."""
    jacobian, a = torch.tensor(matrix), torch.tensor(adjoint)
    x = torch.zeros(2, requires_grad=True)
    (reverse,) = torch.autograd.grad(jacobian @ x, x, grad_outputs=a)
    forward = torch.autograd.functional.jvp(lambda x: jacobian @ x, (torch.zeros(2),), (a,))[1]
    numbers = {"reverse mode": str(reverse.tolist()), "aᵀJ": str((a @ jacobian).tolist()), "Ja": str(forward.tolist())}
    return Finding(bool(torch.equal(reverse, a @ jacobian)) and not torch.equal(reverse, forward), numbers)


def gradient_by(gradient: str, problem: SmallProblem, **solver) -> tuple[float, np.ndarray]:
    """The loss of the problem solved as `solver` says, and its gradient by the start, as nodekit finds it."""
    matrix, target, times = (torch.tensor(v) for v in (problem.matrix, problem.target, [problem.t0, problem.t1]))
    start = torch.tensor(problem.start, requires_grad=True)
    end = nodekit.odeint(lambda t, z: torch.cos(t) * torch.tanh(matrix @ z), start, times, gradient=gradient, **solver)[
        -1
    ]
    loss = (end - target).square().sum()
    return loss.item(), torch.autograd.grad(loss, start)[0].numpy()


def gradient_of_the_steps_made(step: float) -> Finding:
    """ulala 2.3: the gradient through Euler's steps and the adjoint's, against difference quotients of these steps."""
    problem = small_problem(PROBLEM)
    solver = {"method": "euler", "options": {"step_size": step}}
    true = difference_quotient(lambda z: gradient_by("backprop", replace(problem, start=z), **solver)[0], problem.start)
    numbers = {
        f"relative error, {gradient}": relative(gradient_by(gradient, problem, **solver)[1], true)
        for gradient in ("backprop", "adjoint")
    }
    backprop, adjoint = numbers.values()
    return Finding(backprop < 1e-8 < adjoint, numbers)


def through_adaptive_steps(tolerances: list[float]) -> Finding:
    """slides: backpropagation through dopri5, and the adjoint, against difference quotients of an exact solve."""
    problem = small_problem(PROBLEM)
    true = difference_quotient(lambda z: replace(problem, start=z).loss(), problem.start)
    errors = {
        gradient: [relative(gradient_by(gradient, problem, rtol=tol, atol=tol)[1], true) for tol in tolerances]
        for gradient in ("backprop", "adjoint")
    }
    numbers = {
        f"relative error, {gradient}, tolerance {tol:g}": error
        for gradient, found in errors.items()
        for tol, error in zip(tolerances, found, strict=True)
    }
    falls = errors["backprop"] == sorted(errors["backprop"], reverse=True)
    return Finding(falls and errors["backprop"][-1] < 1e3 * tolerances[-1], numbers)


def column_or_row(
    matrix: list[list[float]], initial: list[float], target: list[float], end: float, iterations: int, optimizer: dict
) -> Finding:
    """slides, toy problem: descent for h' = Wh with a' = −aW, and for h' = hW with a' = −aW and with a' = −aWᵀ.

    All by the matrix exponential, so that no solver's error is in them.
    """
    flow = expm(np.array(matrix) * end)
    aim = np.array(target)
    ways = {
        "h' = Wh, a' = −aW (as printed)": (flow, flow),
        "h' = hW, a' = −aW": (flow.T, flow),
        "h' = hW, a' = −aWᵀ": (flow.T, flow.T),
    }
    numbers: dict[str, float] = {}
    for name, (forwards, backwards) in ways.items():
        h, velocity, losses = np.array(initial), np.zeros(2), []
        for _ in range(iterations):
            miss = forwards @ h - aim
            losses.append(float(miss @ miss))
            velocity = optimizer["momentum"] * velocity + 2 * miss @ backwards
            h = h - optimizer["lr"] * velocity
        numbers |= {f"{name}: squared distance at first": losses[0], f"{name}: after {iterations} steps": losses[-1]}
    printed, mixed, rows = (list(numbers.values())[k : k + 2] for k in (0, 2, 4))
    return Finding(printed[1] > 0.1 * printed[0] and mixed[1] > mixed[0] and rows[1] < 0.01 * rows[0], numbers)
