"""The tables of solving.md that say what the code declares: `python docs/tables.py` writes them anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nodekit import METHODS
from nodekit._choices.requirements import TABLE
from nodekit._gradients import GRADIENTS
from nodekit._methods import ALIASES, reversible_form

PAGE = Path(__file__).with_name("solving.md")


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |".replace("|  |", "| |") for line in lines)


def yes(whether: bool) -> str:
    """A cell."""
    return "yes" if whether else "–"


def methods() -> str:
    """What every method declares, those that are another's reversible form or other name in its row."""
    rows = []
    for name, method in METHODS.items():
        undone = reversible_form(method)
        if name in ALIASES or name.startswith("reversible_"):
            continue
        others = "".join(f", `{alias}`" for alias, first in ALIASES.items() if first == name)
        reversible = yes(method.reversible) if undone is method else f"`{undone.name}`"
        declared = [method.order, method.stages or "–", yes(method.adaptive), yes(method.stiff), method.dense_order]
        rows.append([f"`{name}`{others}", *declared, yes(method.samples), reversible])
    headings = ["`method=`", "order", "stages", "adaptive", "stiff", "order between steps", "per sample", "reversible"]
    return markdown(headings, rows)


def gradients() -> str:
    """What every gradient declares."""
    rows = [
        [
            f'`"{name}"`',
            gradient.what,
            "exact" if gradient.exact else "has the solver's error",
            yes(gradient.samples),
            yes(gradient.compiled),
        ]
        for name, gradient in GRADIENTS.items()
    ]
    return markdown(["`gradient=`", "what", "gradient", "per sample", "compiled"], rows)


def requirements() -> str:
    """What goes with what."""
    rows = [[f"`{row.choice}`" if "=" in row.choice else row.choice, "; ".join(row.needs)] for row in TABLE]
    return markdown(["chosen", "goes only with"], rows)


TABLES = {"methods": methods, "gradients": gradients, "requirements": requirements}


def filled(text: str) -> str:
    """A page with its tables as the code has them: each stands between comments that name it and end it."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: written by docs/tables.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the page has no place for the table of {name}: {begin} … {end}")
        text = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
