"""Errata of the documents: `errata.yaml` says what stands where and what is so; each is shown by a check run here."""

from pipeline.errata.disagreements import load_disagreements, positions_table
from pipeline.errata.evaluation import Erratum, evaluate, load_errata
from pipeline.errata.finding import Finding

__all__ = ["Erratum", "Finding", "evaluate", "load_disagreements", "load_errata", "positions_table"]
