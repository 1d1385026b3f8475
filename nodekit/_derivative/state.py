"""States: whatever the user integrates becomes one real tensor for the solver, and itself again for the derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import InvalidDerivative, InvalidState
from .parameters import is_recording, is_transformed, keeps_graphs

if TYPE_CHECKING:
    from .._gradients._unchanged import Watched
    from .leaves import UnknownLeaves

_HALF = (torch.float16, torch.bfloat16)
_DTYPES = (*_HALF, torch.float32, torch.float64, torch.complex64, torch.complex128)


class Packing:
    """How a state (tensor, tuple, list, dict, nested; real or complex; torch or NumPy) maps to one real tensor.

    A single real tensor stays as it is, memory format included. float16 and bfloat16 states are accumulated in
    float32; the derivative sees them in their own type.

    Args:
        y0: the initial state.
        strict: whether slopes must have the shapes of the state's tensors, not only their numbers of entries.

    Raises:
        InvalidState: a state without tensors, of integers, or spread over devices.
    """

    def __init__(self, y0: Any, strict: bool = True):
        if isinstance(y0, list | tuple) and y0 and all(isinstance(number, int | float) for number in y0):
            try:
                y0 = np.array(y0, dtype=float)  # a list of numbers is a vector, as in SciPy and as R's vectors arrive
            except OverflowError as error:
                raise InvalidState(f"the initial state holds a number too large for a float: {error}") from error
        leaves, self.structure = tree_flatten(y0)
        if not leaves:
            raise InvalidState(
                "the initial state y0 holds no tensor", remedy="Pass a tensor, or a tuple or dict of them"
            )
        self.numpy = not any(isinstance(leaf, Tensor) for leaf in leaves)
        tensors = [self._tensor(leaf) for leaf in leaves]
        self.dtypes = [tensor.dtype for tensor in tensors]
        self.shapes = [tensor.shape for tensor in tensors]
        devices = {tensor.device for tensor in tensors}
        if len(devices) > 1:
            raise InvalidState(f"the initial state lies on several devices: {sorted(map(str, devices))}")
        (self.device,) = devices
        self.real_shapes = [(*s, 2) if d.is_complex else s for s, d in zip(self.shapes, self.dtypes, strict=True)]
        self.sizes = [torch.Size(shape).numel() for shape in self.real_shapes]
        real = [torch.float32 if d in _HALF else torch.zeros((), dtype=d).abs().dtype for d in self.dtypes]
        self.dtype = max(real, key=lambda d: torch.finfo(d).bits)
        self.strict = strict
        self.single = len(leaves) == 1 and leaves[0] is y0
        #: whether packing is the identity
        self.trivial = self.single and not self.numpy and self.dtypes[0] == self.dtype
        #: the initial state as the solver's tensor
        self.y0 = self.pack(tensors[0] if self.single else tree_unflatten(tensors, self.structure), "the initial state")

    def _tensor(self, leaf: Any) -> Tensor:
        if isinstance(leaf, Tensor):
            tensor = leaf
        else:
            array = np.asarray(leaf)
            if array.dtype.kind in "iub":
                array = array.astype(np.float64)
            if array.dtype.kind not in "fc":
                raise InvalidState(f"the initial state holds {type(leaf).__name__}, which is not a number")
            # A copy in C order and the machine's byte order: arrays from R are read-only and column-major.
            try:
                tensor = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
            except TypeError as error:
                raise InvalidState(f"the initial state has dtype {array.dtype}, which torch has not") from error
        if tensor.dtype not in _DTYPES:
            raise InvalidState(
                f"the initial state has dtype {tensor.dtype}", remedy="Convert it to a floating-point type, .float()"
            )
        if tensor.is_nested:
            raise InvalidState("the initial state is a nested tensor", remedy="Pass a tuple of its parts, .unbind()")
        if tensor.layout != torch.strided:
            raise InvalidState(f"the initial state has layout {tensor.layout}", remedy="Convert it, .to_dense()")
        if tensor.is_meta:
            raise InvalidState("the initial state is on the device meta, where there are no numbers to solve with")
        return tensor

    def pack(self, state: Any, what: str = "the state") -> Tensor:
        """The solver's tensor of a state.

        Raises:
            InvalidDerivative: another structure, shape, kind of number or device than the initial state's.
        """
        if self.trivial:
            return self._checked(state, 0, what)
        if self.single:
            leaves = [state]
        else:
            leaves, structure = tree_flatten(state)
            if structure != self.structure:
                leaves = _leaves(state, tree_unflatten(range(len(self.sizes)), self.structure))
            if leaves is None:
                raise InvalidDerivative(f"{what} has structure {structure}, the initial state has {self.structure}")
        parts = [self._checked(leaf, i, what) for i, leaf in enumerate(leaves)]
        return parts[0] if self.single else self.joined(parts)

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Several tensors as one."""
        return torch.cat([part.reshape(-1) for part in parts])

    def _checked(self, leaf: Any, i: int, what: str) -> Tensor:
        if not isinstance(leaf, Tensor):
            if not self.numpy:
                raise InvalidDerivative(f"{what} must be a tensor, not {type(leaf).__name__}")
            leaf = torch.tensor(np.asarray(leaf))
            if leaf.numel() == 1:  # an R vector of length one arrives as a scalar
                leaf = leaf.reshape(self.shapes[i]) if self.sizes[i] == 1 else leaf
        # Broadcasting makes (n, n) of (n,) and (n, 1), so where a tensor alone is the state its shape is asked for.
        if not self.strict and leaf.numel() == self.shapes[i].numel() and (not self.single or leaf.numel() == 1):
            leaf = leaf.reshape(self.shapes[i])
        if leaf.shape != self.shapes[i]:
            raise InvalidDerivative(f"{what} has shape {tuple(leaf.shape)}, the state has {tuple(self.shapes[i])}")
        if leaf.is_complex() and not self.dtypes[i].is_complex:
            raise InvalidDerivative(f"{what} is complex, the state is real", remedy="Make y0 complex")
        if leaf.device != self.device:
            raise InvalidDerivative(f"{what} is on {leaf.device}, the state is on {self.device}")
        if self.dtypes[i].is_complex:
            leaf = leaf.to(self.dtypes[i]).resolve_conj()
            # Among others a part, and with it its gradient, may begin at an odd offset, where no view is complex.
            leaf = torch.view_as_real(leaf) if self.single else torch.stack((leaf.real, leaf.imag), -1)
        return leaf if leaf.dtype == self.dtype else leaf.to(self.dtype)

    def unpack(self, y: Tensor) -> Any:
        """The state of a solver's tensor; leading dimensions beyond the state's own (times) are kept."""
        if self.trivial:
            return y
        if self.single:
            return self._restored(y, 0, y.shape[: y.ndim - len(self.real_shapes[0])])
        return self.restored(self.parts(y), y.shape[:-1])

    def restored(self, parts: list[Tensor], lead) -> Any:
        """The state of its parts, with leading dimensions."""
        return tree_unflatten([self._restored(part, i, lead) for i, part in enumerate(parts)], self.structure)

    def _restored(self, part: Tensor, i: int, lead) -> Any:
        part = part.reshape((*lead, *self.real_shapes[i]))
        if self.dtypes[i].is_complex:
            part = torch.complex(*part.unbind(-1))  # not a view: a part may begin at an odd offset
        part = part.to(self.dtypes[i])
        # A copy: NumPy's arrays may be changed in place, and nobody notices.
        return part.detach().numpy().copy() if self.numpy else part

    def parts(self, y: Tensor) -> list[Tensor]:
        """The pieces of a solver's tensor that belong to each tensor of the state."""
        return [y] if self.single else list(y.split(self.sizes, dim=-1))


def _leaves(state: Any, like: Any) -> list[Any] | None:
    """The leaves of a state in another's order, if it has its keys; as in torchdiffeq, a list may answer a tuple."""
    if isinstance(like, int):
        return [state]
    if isinstance(like, dict) and isinstance(state, dict) and state.keys() == like.keys():
        pairs = [(state[key], like[key]) for key in like]
    elif isinstance(like, list | tuple) and isinstance(state, list | tuple) and len(state) == len(like):
        pairs = zip(state, like, strict=True)
    else:
        return None
    found = [_leaves(*pair) for pair in pairs]
    return None if None in found else [leaf for leaves in found for leaf in leaves]


def version_of(y: Tensor) -> int | None:
    """How often a tensor has been changed in place; None where that is not counted."""
    return None if y.is_inference() else y._version


NOT_IN_PLACE = "Compute a new tensor: y = y.clamp(…) in place of y.clamp_(…)"
#: what autograd says where it notices first
REFUSED_IN_PLACE = ("in an in-place operation", "is being modified inplace", "functions with out=... arguments don't")


class Derivative:
    """The user's function on the solver's tensors, counting its evaluations.

    Args:
        func: f(t, y, *args).
        packing: of the state.
        args: further arguments of func.

    Raises:
        InvalidDerivative: the function changes its argument, or differentiates what carries no graph.

    Attributes:
        mass: the matrix M of M y' = f(t, y), see `MassDerivative`; None: 1.
        read: what an evaluation may read: the function, with its arguments where it has some.
    """

    mass = None

    def __init__(self, func: Callable, packing: Packing, args: tuple = ()):
        self.func, self.packing, self.args, self.evaluations = func, packing, args, 0
        self.read = functools.partial(func, *args) if args else func
        #: looks for tensors that a backward pass does not know, while there is one
        self.leaves: UnknownLeaves | None = None
        #: notes evaluations of a forward pass that is to be compared with its backward pass, while there is one
        self.watched: Watched | None = None
        self._needs_graph, self._buffers = False, Buffers()
        #: whether tensors count their changes here
        self._versions = not torch.compiler.is_compiling() and not torch.is_inference_mode_enabled()

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        version = y._version if self._versions else None
        slope = self._with_graph(t, y) if self._needs_graph else self._evaluated(t, y)
        if self._versions and y._version != version:
            raise InvalidDerivative("the derivative changes the state it is given in place", remedy=NOT_IN_PLACE)
        if self._buffers is not None:
            slope, finished = self._buffers.own(slope)
            if finished:
                self._buffers = None
        if self.watched is not None:
            self.watched.note(t, y, slope)
        if self.leaves is not None and torch.is_grad_enabled():
            self.leaves.look(slope, t, y)
        return slope

    def release(self) -> None:
        """The solve is over: let go of what the first evaluations returned."""
        if self._buffers is not None and not self._buffers.reused:
            self._buffers = None

    def look_for_results_kept(self, read: Iterable[tuple[tuple, Any]]) -> None:
        """Evaluate with a graph in every mode from now on, if the function may keep results that have one.

        It reads what it kept (weights by their time, say) where a gradient is asked for, which would be lost.

        Args:
            read: what `reachable` found of it.
        """
        if is_recording():
            self._needs_graph = self._needs_graph or keeps_graphs(read)

    def _evaluated(self, t: Tensor, y: Tensor) -> Tensor:
        packing = self.packing
        try:
            if packing.trivial:
                slope = self.func(t, y, *self.args)
            else:
                at = t if not packing.numpy else np.float64(t.item()) if t.ndim == 0 else t.numpy()
                slope = self.func(at, packing.unpack(y), *self.args)
        except RuntimeError as error:
            if any(words in str(error) for words in REFUSED_IN_PLACE):
                raise InvalidDerivative(
                    f"the derivative changes a tensor that carries a graph, perhaps the state, in place: {error}",
                    remedy=NOT_IN_PLACE,
                ) from error
            if "does not require grad" not in str(error):
                raise
            return self._first_with_graph(t, y, error)
        # The common case, without further ado.
        if (
            packing.trivial
            and isinstance(slope, Tensor)
            and slope.shape == y.shape
            and (slope.dtype, slope.device) == (y.dtype, y.device)
        ):
            return slope
        return packing.pack(slope, "the derivative")

    def _first_with_graph(self, t: Tensor, y: Tensor, error: RuntimeError) -> Tensor:
        try:
            slope = self._with_graph(t, y)
        except RuntimeError as again:
            raise InvalidDerivative(
                f"the derivative differentiates something that carries no graph: {again}",
                remedy="Differentiate by a tensor that the result was computed from, such as y itself",
            ) from error
        self._needs_graph = True
        return slope

    def _with_graph(self, t: Tensor, y: Tensor) -> Tensor:
        """The slope of a function that calls torch.autograd.grad, which needs a graph from y on in every mode."""
        recording = torch.is_grad_enabled()
        with torch.enable_grad():
            y = y if recording and y.requires_grad else y.detach().requires_grad_()
            slope = self.packing.pack(self.func(t, self.packing.unpack(y), *self.args), "the derivative")
        return slope if recording else slope.detach()


class Buffers:
    """Notices at the first evaluations whether the function returns memory that it will write to again.

    Until that is known the solver gets copies; a function that does, gives copies for ever.
    """

    #: how many evaluations are watched, and of how many results that are large the memory is held
    _WATCHED, _LARGE, _HELD = 8, 2**20, 2

    def __init__(self):
        # Each one's address; its storage, known again while it lives; and itself, where the memory is held: that of
        # others than PyTorch (NumPy's) has a new storage each time.
        self.returned: list[tuple[int, StorageWeakRef, Tensor | None]] = []
        self.reused = False

    def own(self, slope: Tensor) -> tuple[Tensor, bool]:
        """The slope or a copy of it, and whether there is no need to look on."""
        if self.reused:
            return slope.clone(), False
        if is_transformed():
            return slope, True
        address, storage = slope.data_ptr(), StorageWeakRef(slope.untyped_storage())
        self.reused = slope.numel() > 0 and any(
            address == known and (held is not None or storage.cdata == before.cdata)
            for known, before, held in self.returned
        )
        large, held = slope.numel() * slope.element_size() > self._LARGE, slope.detach()
        if large and len(self.returned) >= self._HELD:
            held, self.returned = None, [(known, before, None) for known, before, _ in self.returned]
        self.returned = [] if self.reused else [*self.returned, (address, storage, held)]
        return slope.clone(), not self.reused and len(self.returned) >= self._WATCHED
