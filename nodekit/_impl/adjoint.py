"""`find_parameters`, by which programs name what `odeint_adjoint` differentiates by."""

from torch import Tensor, nn

from nodekit._derivative.parameters import parameters_of
from nodekit._derivative.reachable import reachable
from nodekit._odeint import odeint_adjoint

__all__ = ["find_parameters", "odeint_adjoint"]


def find_parameters(module: nn.Module) -> list[Tensor]:
    """The parameters of a module; of a replica that torch.nn.DataParallel made, the tensors in their place."""
    return list(module.parameters()) or list(parameters_of(reachable(module), ()))
