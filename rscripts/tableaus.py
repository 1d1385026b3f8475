"""The coefficients of the steps that nodekitr takes in R, from the library's own: `python rscripts/tableaus.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nodekit import METHODS, Options
from nodekit._methods import switching
from nodekit._methods.runge_kutta import ExplicitRungeKutta
from nodekit._steps.control import CONTROLLERS

FILE = Path(__file__).parent / "nodekitr/R/tableaus.R"
WIDTH = 120
HEADING = """\
# Methods whose steps are taken in R, and what their control goes by: the library's numbers, written by
# `python rscripts/tableaus.py`. A column of `stages` is what a stage takes of the slopes. Of adaptive methods `error`
# is by what the solution differs from the embedded one, and `inside`, the dense output, has a column for a power.
"""


def tableaus() -> dict[str, ExplicitRungeKutta]:
    """Explicit methods of fixed steps, and pairs whose last two stages are both at a step's end."""
    steppers = {name: method.stepper() for name, method in METHODS.items() if not method.implicit}
    return {
        name: stepper
        for name, stepper in steppers.items()
        if type(stepper) is ExplicitRungeKutta
        and (not METHODS[name].adaptive or (stepper.fsal and stepper.nodes[-2] == 1.0 and not stepper.extra_rows))
    }


def vector(before: str, values: Sequence[float], after: str) -> str:
    """Numbers between two pieces of code, in lines that are not too long; R reads them back as they are."""
    lines, line = [], "    " + before
    for i, value in enumerate(values):
        text = repr(float(value)) + (after + "," if i == len(values) - 1 else ", ")
        if len(line) + len(text.rstrip()) > WIDTH:
            lines.append(line.rstrip())
            line = "      "
        line += text
    return "\n".join([*lines, line]).strip().removesuffix(",")


def method(name: str, stepper: ExplicitRungeKutta) -> str:
    """A method as an element of a list."""
    tableau, adaptive = stepper.tableau, METHODS[name].adaptive
    numbers, matrices = {"nodes": tableau.c, "weights": tableau.b}, {"stages": tableau.A.T}
    if adaptive:
        numbers["error"] = tableau.b - tableau.b_embedded
        matrices["inside"] = tableau.interpolation
    parts = [
        f"order = {tableau.order}, adaptive = "
        + (f"TRUE, exponent = {stepper.error_exponent}" if adaptive else "FALSE"),
        *(vector(f"{part} = c(", values, ")") for part, values in numbers.items()),
        *(
            vector(f"{part} = matrix(c(", matrix.T.reshape(-1), f"), {stepper.stages})")
            for part, matrix in matrices.items()
        ),
    ]
    return ",\n    ".join(parts)


def text() -> str:
    """The file."""
    limits = {name: getattr(Options(), name) for name in ("safety", "ifactor", "dfactor", "controller")}
    assert CONTROLLERS[limits.pop("controller")] == (0.0, 1.0, 0.0), "R's control is the classical one"
    control = {**limits, "stable": switching.STABLE, "patience": switching.PATIENCE}
    methods = ",\n".join(f"  {name} = list(\n    {method(name, stepper)}\n  )" for name, stepper in tableaus().items())
    settings = ", ".join(f"{name} = {value:g}" for name, value in control.items())
    return f"{HEADING}TABLEAUS <- list(\n{methods}\n)\nCONTROL <- list({settings})\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
