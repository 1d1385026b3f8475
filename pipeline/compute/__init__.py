"""What is computed without training: one function an experiment, from its run to its tables."""

from pipeline.compute.adjoint import adjoint_equations
from pipeline.compute.gradients import gradient_errors
from pipeline.compute.orders import convergence
from pipeline.compute.physics import radioactive_decay, springs, untrained_network
from pipeline.compute.primer import euler_table, logistic_portrait, solution_curves
from pipeline.compute.residual import residual_and_continuous
from pipeline.compute.shooting import bullet, target_state

FUNCTIONS = {
    "A1": target_state,
    "A2": bullet,
    "A3": gradient_errors,
    "A5": adjoint_equations,
    "P1": solution_curves,
    "P2": logistic_portrait,
    "P3": euler_table,
    "P4": radioactive_decay,
    "P5": springs,
    "P6": convergence,
    "P7": residual_and_continuous,
    "P8": untrained_network,
}

__all__ = ["FUNCTIONS"]
