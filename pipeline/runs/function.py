"""The function that answers a run, which its experiment's YAML names."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from pipeline.study import ConfigurationError, Run


def function_of(run: Run) -> Callable:
    """The function that makes the run's tables: `module.function`, below the folder of the run's kind.

    Raises `ConfigurationError` where there is none of that name.
    """
    module, _, name = run.function.partition(".")
    try:
        return getattr(importlib.import_module(f"pipeline.{run.kind}.{module}"), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigurationError(
            f"{run.experiment} names the function {run.function!r}, but pipeline/{run.kind} has no such: {error}"
        ) from error
