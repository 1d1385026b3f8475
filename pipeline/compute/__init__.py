"""What is computed without training: one function an experiment, from its run to its tables."""

from pipeline.compute.primer import euler_table, logistic_portrait, solution_curves

FUNCTIONS = {"P1": solution_curves, "P2": logistic_portrait, "P3": euler_table}

__all__ = ["FUNCTIONS", "euler_table", "logistic_portrait", "solution_curves"]
