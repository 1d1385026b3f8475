"""What a trace costs and what a determinant costs, counted in operations (row Q5; slides, CNFs)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


class Counted:
    """A number that counts the additions, subtractions, multiplications and divisions made with numbers like it."""

    made = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def _operation(self, value: float) -> Counted:
        Counted.made += 1
        return Counted(value)

    def __add__(self, other: Counted) -> Counted:
        return self._operation(self.value + other.value)

    def __sub__(self, other: Counted) -> Counted:
        return self._operation(self.value - other.value)

    def __mul__(self, other: Counted) -> Counted:
        return self._operation(self.value * other.value)

    def __truediv__(self, other: Counted) -> Counted:
        return self._operation(self.value / other.value)


def trace(matrix: list[list[Counted]]) -> Counted:
    """The sum of the diagonal."""
    total = matrix[0][0]
    for k in range(1, len(matrix)):
        total = total + matrix[k][k]
    return total


def determinant(matrix: list[list[Counted]]) -> Counted:
    """By Gaussian elimination with row exchanges, as numerical libraries do it."""
    rows = [list(row) for row in matrix]
    size, product = len(rows), None
    for k in range(size):
        best = max(range(k, size), key=lambda i: abs(rows[i][k].value))
        if best != k:
            # An exchange of rows turns the sign; a sign costs no operation.
            rows[k], rows[best] = rows[best], [Counted(-entry.value) for entry in rows[k]]
        product = rows[k][k] if product is None else product * rows[k][k]
        for i in range(k + 1, size):
            factor = rows[i][k] / rows[k][k]
            for j in range(k + 1, size):
                rows[i][j] = rows[i][j] - factor * rows[k][j]
    return product


def operations(function, matrix: np.ndarray) -> tuple[float, int]:
    """What a function of a matrix gives, and in how many operations."""
    Counted.made = 0
    value = function([[Counted(float(entry)) for entry in row] for row in matrix])
    return value.value, Counted.made


def trace_and_determinant(run: Run) -> Tables:
    """Q5: the operations of both by the size N of the Jacobian, their exponents of N, and how they agree with NumPy."""
    given = run.settings.arguments
    draw = np.random.default_rng(run.seed)
    rows, apart = [], 0.0
    for size in given["sizes"]:
        jacobian = draw.normal(size=(size, size)) / np.sqrt(size)
        for name, function, peer in (("trace", trace, np.trace), ("determinant", determinant, np.linalg.det)):
            value, count = operations(function, jacobian)
            rows.append({"series": name, "size": size, "operations": count})
            apart = max(apart, abs(value - peer(jacobian)) / abs(peer(jacobian)))
    history = pd.DataFrame(rows)
    values = {"difference_from_numpy": (apart, "relative")}
    for name, part in history.groupby("series"):
        # Of the largest sizes: the lower powers of N have their share in the smaller ones.
        last = part.sort_values("size").tail(2)
        exponent = np.diff(np.log(last.operations))[0] / np.diff(np.log(last["size"]))[0]
        values[f"exponent, {name}"] = (float(exponent), "")
    return tables(run, [history], values)
