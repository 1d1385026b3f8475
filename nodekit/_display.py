"""How results are shown: a few lines in a terminal, a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

if TYPE_CHECKING:
    from ._solve import Solution

Row = tuple[str, str]


def described(solution: Solution) -> list[Row]:
    """What a solution holds and what it took, as names and words; no numbers of the state, which may be many."""
    stats = solution.stats
    rows = [
        ("outcome", _outcome(solution)),
        ("t", _shape(solution.t)),
        ("y", str(tree_map(_shape, solution.y)).replace("'", "")),
        ("evaluations", f"{stats.nfe_forward} forward, {stats.nfe_backward} backward"),
        ("steps", f"{_count(stats.accepted)} accepted, {_count(stats.rejected)} rejected"),
    ]
    if solution.events is not None:
        happened = solution.events.t
        count = int((happened == happened).sum()) if hasattr(happened, "sum") else len(happened)
        rows.append(("events", f"{count} happened"))
    if solution.dense is not None:
        rows.append(("dense", f"a function of time from {solution.dense.t0:g} to {solution.dense.t1:g}"))
    return rows


def _outcome(solution: Solution) -> str:
    if solution.status is not None:
        return f"{type(solution.status).__name__}: {solution.status}"
    if solution.events is None or not torch.as_tensor(solution.events.terminated).any():
        return "every output time was reached"
    ended = torch.as_tensor(solution.events.terminated)
    return f"events ended {int(ended.sum())} of {len(ended)} samples" if ended.ndim else "an event ended the solve"


def as_text(title: str, rows: Sequence[Row]) -> str:
    """Lines for a terminal."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name.ljust(width)}  {words}" for name, words in rows)])


def as_html(title: str, rows: Sequence[Row]) -> str:
    """A table for a notebook."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(words)}</td></tr>" for name, words in rows)
    return f"<table><caption>{escape(title)}</caption>{lines}</table>"


def table_as_html(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with headings for a notebook."""

    def row(cells: Sequence[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(headings, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _shape(values: Any) -> str:
    """Type and shape of a tensor or an array; of a list or a number, how many there are."""
    if hasattr(values, "shape"):
        device = f" on {values.device}" if isinstance(values, Tensor) and values.device.type != "cpu" else ""
        return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}{device}"
    return f"{len(values)} times" if hasattr(values, "__len__") else str(values)


def _count(steps: Any) -> str:
    """Steps of a solve, or of the samples of an independent one."""
    if isinstance(steps, Tensor):
        return f"{int(steps.min())} to {int(steps.max())} (by sample)" if steps.numel() else "0"
    return str(steps)
