"""The table of goals and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
import yaml

from pipeline.benchmarks.timing import ratio
from pipeline.study import Strict, validated

GOALS = Path(__file__).with_name("goals.yaml")


class Goal(Strict):
    """A quantity, and on which side of which number it should be."""

    id: str
    work: str
    against: str
    relation: Literal["at least", "at most"]
    goal: float
    unit: str
    attempts: str = ""

    def met(self, found: Measured) -> bool:
        """Whether a measured value reaches it, and not by a larger error than the peer's."""
        if found.own_error is not None and found.peer_error is not None and found.own_error > found.peer_error:
            return False
        return found.value >= self.goal if self.relation == "at least" else found.value <= self.goal


class Measured(Strict):
    """What was measured of a goal: a value with its interval, and both sides' figures and errors where it has them."""

    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    own: float | None = None
    peer: float | None = None
    own_error: float | None = None
    peer_error: float | None = None


def speedup(samples: pd.DataFrame, own: str, peer: str, errors: dict[str, float] | None = None) -> Measured:
    """How many times as fast the one is as the other, with both sides' seconds and, where they are known, errors."""
    value, low, high = ratio(samples, peer, own)
    accuracy = {"own_error": errors[own], "peer_error": errors[peer]} if errors else {}
    seconds = samples.median()
    return Measured(value=value, ci_low=low, ci_high=high, own=seconds[own], peer=seconds[peer], **accuracy)


def load_goals(path: Path = GOALS) -> dict[str, Goal]:
    """The goals by name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: validated(Goal, {"id": name, **values}, f"{path.name}: {name}") for name, values in entries.items()}


def evaluate(goals: dict[str, Goal], measured: dict[str, Measured], device: str) -> pd.DataFrame:
    """Every goal beside what was measured, as the report reads it; goals that were not measured are left empty."""
    rows = []
    for name, goal in goals.items():
        found = measured.get(name)
        met = None if found is None else goal.met(found)
        rows.append(
            {
                "id": name,
                "work": goal.work,
                "goal": f"{goal.relation} {goal.goal:g} {goal.unit} ({goal.against})",
                "unit": "",
                **(Measured(value=float("nan")) if found is None else found).model_dump(),
                "met": met,
                "reason": "not measured" if found is None else _reason(goal, found, met),
                "device": device,
            }
        )
    return pd.DataFrame(rows)


def _reason(goal: Goal, found: Measured, met: bool) -> str:
    errors = ""
    if found.own_error is not None and found.peer_error is not None:
        errors = f"Relative error {found.own_error:.1e} against {found.peer_error:.1e}. "
    return (errors + ("" if met else goal.attempts)).strip()
