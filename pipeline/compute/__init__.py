"""What is computed without training: one function an experiment, from its run to its tables.

One whose settings name a data set is given its images, too.
"""

from pipeline.compute.adjoint import adjoint_equations
from pipeline.compute.flow_capacity import fitted_flow
from pipeline.compute.functional_input import functional_input
from pipeline.compute.gradients import gradient_errors
from pipeline.compute.layer_gradients import gradients_by_layer
from pipeline.compute.observed_adjoint import observed_adjoint
from pipeline.compute.orders import convergence
from pipeline.compute.physics import radioactive_decay, springs, untrained_network
from pipeline.compute.primer import euler_table, logistic_portrait, solution_curves
from pipeline.compute.residual import residual_and_continuous
from pipeline.compute.samples import sample_images
from pipeline.compute.shooting import bullet, target_state
from pipeline.compute.trace_and_determinant import trace_and_determinant

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
    "Q1": fitted_flow,
    "Q2": gradients_by_layer,
    "Q3": observed_adjoint,
    "Q4": sample_images,
    "Q5": trace_and_determinant,
    "Q6": functional_input,
}

__all__ = ["FUNCTIONS"]
