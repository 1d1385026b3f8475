"""What the documents say of solvers: orders, names, stability and going back."""

from __future__ import annotations

import numpy as np

import nodekit
from pipeline.compute.orders import end_error
from pipeline.errata.finding import Finding


def orders_of_both_euler_methods(problem: str, steps: list[int]) -> Finding:
    """ulala 2.5.1: the order of the error at the end, and of the error of one step, for both Euler methods."""
    numbers = {}
    for method in ("euler", "implicit_euler"):
        numbers[f"order at the end, {method}"] = slope([end_error(method, problem, count) for count in steps])
        numbers[f"order of one step, {method}"] = slope([first_step_error(method, 1 / count) for count in steps])
    whole = [value for name, value in numbers.items() if "end" in name]
    single = [value for name, value in numbers.items() if "one step" in name]
    return Finding(np.allclose(whole, 1, atol=0.05) and np.allclose(single, 2, atol=0.05), numbers)


def first_step_error(method: str, step: float) -> tuple[float, float]:
    """The step and the error after one step of y' = y(1 − y), y(0) = 0.3."""
    exact = 0.3 * np.exp(step) / (0.7 + 0.3 * np.exp(step))
    return step, abs(one_step(method, lambda t, y: y * (1 - y), 0.3, step) - exact)


def one_step(method: str, f, start: float, step: float) -> float:
    """The state after one step of a method from t = 0."""
    grid = np.array([0.0, step])
    return float(nodekit.solve(f, np.array(start), grid, method=method, options={"step_size": step}).y[-1])


def slope(errors: list[tuple[float, float]]) -> float:
    """The slope of log error on log step."""
    step, error = np.log(np.array(errors)).T
    return float(np.polyfit(step, error, 1)[0])


def middle_of_the_step(step: float) -> Finding:
    """ulala eq. (10), solved by iteration, beside the midpoint and the trapezoidal (Crank–Nicolson) rules."""

    def f(t: float, y: float) -> float:
        return np.cos(t) - y * y

    start = 0.7
    after = start
    for _ in range(200):
        after = start + step * f(step / 2, (start + after) / 2)
    midpoint, trapezoid = (one_step(name, f, start, step) for name in ("implicit_midpoint", "trapezoid"))
    numbers = {"eq. (10)": after, "implicit midpoint": midpoint, "trapezoid": trapezoid}
    return Finding(bool(np.isclose(after, midpoint, rtol=1e-9)) and abs(after - trapezoid) > 1e-6, numbers)


def average_of_both_slopes(step: float) -> Finding:
    """slides: midpoint_step as it is listed, beside Heun's method and the midpoint method."""

    def f(t: float, y: float) -> float:
        return np.cos(t) - y * y

    start = 0.7
    first = f(0.0, start)
    listed = start + step * (first + f(step, start + step * first)) / 2
    heun, midpoint = (one_step(name, f, start, step) for name in ("heun", "midpoint"))
    numbers = {"midpoint_step": listed, "Heun's method": heun, "midpoint method": midpoint}
    return Finding(bool(np.isclose(listed, heun, rtol=1e-12)) and abs(listed - midpoint) > 1e-6, numbers)


def higher_order_at_a_long_step(rate: float, step: float) -> Finding:
    """slides: one long step of decay by methods of rising order, against exp(−λh)."""
    exact = float(np.exp(-rate * step))
    errors = {name: abs(one_step(name, lambda t, y: -rate * y, 1.0, step) - exact) for name in ("euler", "heun", "rk4")}
    return Finding(errors["euler"] < errors["heun"] < errors["rk4"], {f"error, {n}": e for n, e in errors.items()})


def implicit_and_unstable(scaled_steps: list[float]) -> Finding:
    """ulala 2.5.1: Adams–Moulton of third order is implicit; the largest root of its recurrence on y' = −ay, by h·a."""
    numbers = {}
    for scaled in scaled_steps:
        # y₂ − y₁ = −ha (5 y₂ + 8 y₁ − y₀) / 12
        roots = np.roots([1 + 5 * scaled / 12, -1 + 8 * scaled / 12, -scaled / 12])
        numbers[f"growth a step at h·a = {scaled:g}"] = float(np.abs(roots).max())
    growth = list(numbers.values())
    return Finding(growth[0] < 1 < growth[-1], numbers)


def backwards_by_the_same_steps(rate: float, steps: int) -> Finding:
    """slides: decay solved forwards, and back from where it came to, by the same number of steps."""
    numbers = {}
    for name in ("euler", "rk4"):
        there = np.linspace(0.0, 1.0, steps + 1)
        end = nodekit.odeint(lambda t, y: -rate * y, np.array(1.0), there, method=name)[-1]
        back = nodekit.odeint(lambda t, y: -rate * y, np.asarray(end), there[::-1].copy(), method=name)[-1]
        numbers[f"start found again, {name}"] = float(back)
    numbers["start"] = 1.0
    return Finding(abs(numbers["start found again, euler"] - 1) > 0.05, numbers)
