"""What is measured of gradients and of trained networks: one function an experiment, from its run to its tables.

Each returns "history" and "metrics", which the same machine repeats, and "timing", which nothing does.
"""

from pipeline.measurements.gradient_costs import gradient_costs
from pipeline.measurements.trained_odenet import TrainedNetwork, trained_odenet

FUNCTIONS = {"A4": gradient_costs, "M4": trained_odenet}

__all__ = ["FUNCTIONS", "TrainedNetwork"]
