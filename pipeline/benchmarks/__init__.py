"""Benchmarks: nodekit's time and memory, measured beside its peers' in one run on one machine.

Goals are data (`goals.yaml`); each is a quantity that one of the modules here measures. Nothing here is part of the
default study: `make benchmarks` runs it.
"""

from pipeline.benchmarks.table import Goal, evaluate, load_goals

__all__ = ["Goal", "evaluate", "load_goals"]
