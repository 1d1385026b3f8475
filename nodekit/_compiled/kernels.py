"""What compiled loops compute, rewritten so that the compiler makes one kernel of a step instead of calling libraries.

On a CPU a call takes longer than the arithmetic of a small system. Small matrix products become sums of products; tanh
of float32 a rational function; and small matrices with more rows than columns, as a batch of states is, are computed
transposed, since the processor computes with several numbers at a time that lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.inductor_prims import force_stride_order
from torch.fx import Graph, Node
from torch.utils._pytree import tree_map

aten = torch.ops.aten
_SWAP = [1, 0]
#: Products of up to so many multiplications are written out …
_SMALL = 2**16
#: … and matrices of up to so many numbers are computed transposed.
_FEW = 2**14
#: Coefficients of the [7/6] Padé approximant of tanh, of u, u³, … over 1, u², …, the highest first.
_NUMERATOR = (1 / 135135, 378 / 135135, 17325 / 135135, 1.0)
_DENOMINATOR = (28 / 135135, 3150 / 135135, 62370 / 135135, 1.0)


class Rewritten(CustomGraphPass):
    """The graph of a loop, rewritten in place.

    Args:
        turned: whether its states are transposed, and with them what is computed from them.
    """

    def __init__(self, turned: bool):
        self.turned = turned

    def __call__(self, graph: Graph) -> None:
        write = Writer(graph, self.turned)
        for node in list(graph.nodes):
            rewrite = _rewrite(node, write)
            if rewrite is not None:
                with graph.inserting_before(node):
                    replacement = rewrite(write, node)
                node.replace_all_uses_with(replacement)
                graph.erase_node(node)

    def uuid(self) -> bytes:
        """What the caches of compiled graphs know this version by."""
        return get_hash_for_files((__file__,), str(self.turned))


class Writer:
    """Writes operations into a graph, where it inserts just now."""

    def __init__(self, graph: Graph, turned: bool):
        self.graph, self.turns = graph, turned

    def is_tall(self, x: Node) -> bool:
        """Whether a matrix is to be computed transposed."""
        return self.turns and is_tall(x.meta["val"])

    def __call__(self, operation: Callable, *arguments, **keywords) -> Node:
        node = self.graph.call_function(operation, arguments, keywords)
        values = tree_map(lambda x: x.meta["val"] if isinstance(x, Node) else x, (arguments, keywords))
        node.meta["val"] = operation(*values[0], **values[1])
        return node

    def turned(self, x: Node) -> Node:
        """The transpose of a matrix."""
        if x.target is aten.permute.default and list(x.args[1]) == _SWAP:
            return x.args[0]
        return self(aten.permute.default, x, _SWAP)

    def kept(self, x: Node) -> Node:
        """A matrix that is computed once, by rows, and not by each of its readers anew."""
        source = x.args[0] if x.target is aten.permute.default else x
        if source.op == "placeholder" or source.target is force_stride_order:
            return x
        kept = self(force_stride_order, x, [x.meta["val"].shape[1], 1])
        x.replace_all_uses_with(kept, delete_user_cb=lambda user: user is not kept)
        return kept

    def polynomial(self, x: Node, coefficients) -> Node:
        """A polynomial, the highest power's coefficient first."""
        total = self(aten.mul.Tensor, x, coefficients[0])
        for coefficient in coefficients[1:-1]:
            total = self(aten.mul.Tensor, self(aten.add.Tensor, total, coefficient), x)
        return self(aten.add.Tensor, total, coefficients[-1])


def _rewrite(node: Node, write: Writer) -> Callable[[Writer, Node], Node] | None:
    value = node.meta.get("val")
    if (
        not isinstance(node.target, torch._ops.OpOverload)
        or not isinstance(value, Tensor)
        or value.device.type != "cpu"
    ):
        return None
    if node.target is aten.mm.default and _is_small(*node.args):
        return _product
    if node.target is aten.addmm.default and not node.kwargs and _is_small(*node.args[1:]):
        return _product
    if node.target is aten.tanh.default and value.dtype == torch.float32:
        return _pointwise(_tanh)
    if torch.Tag.pointwise in node.target.tags and write.is_tall(node):
        return _pointwise(lambda write, *arguments: write(node.target, *arguments, **node.kwargs))
    return None


def is_tall(x: Tensor) -> bool:
    """Whether a matrix is computed transposed."""
    return x.ndim == 2 and x.shape[0] > x.shape[1] and x.numel() <= _FEW


def _is_small(a: Node, b: Node) -> bool:
    (m, k), n = a.meta["val"].shape, b.meta["val"].shape[1]
    return all(isinstance(size, int) for size in (m, k, n)) and m * k * n <= _SMALL


def _product(write: Writer, node: Node) -> Node:
    """a b, or c + a b, as a sum; the longer side of the result in the innermost loop."""
    *c, a, b = node.args
    if not write.is_tall(node):
        total = _products(write, a, b)
        return write(aten.add.Tensor, total, *c) if c else total
    total = _products(write, write.turned(b), write.turned(a))
    if c:
        (c,) = c
        column = c.meta["val"].ndim == 1
        total = write(aten.add.Tensor, total, write(aten.unsqueeze.default, c, 1) if column else write.turned(c))
    return write.turned(total)


def _products(write: Writer, a: Node, b: Node) -> Node:
    a, b = (write.turned(write.kept(write.turned(x))) if write.is_tall(x) else write.kept(x) for x in (a, b))
    terms = write(aten.mul.Tensor, write(aten.unsqueeze.default, a, 2), write(aten.unsqueeze.default, b, 0))
    return write(aten.sum.dim_IntList, terms, [1])


def _pointwise(function: Callable) -> Callable[[Writer, Node], Node]:
    """A function of each number, of transposed matrices where they are tall."""

    def rewritten(write: Writer, node: Node) -> Node:
        if not write.is_tall(node):
            return function(write, *node.args)

        def turned(x):
            if not isinstance(x, Node) or x.meta["val"].ndim == 0:
                return x
            return write(aten.unsqueeze.default, x, 1) if x.meta["val"].ndim == 1 else write.turned(x)

        return write.turned(function(write, *map(turned, node.args)))

    return rewritten


def _tanh(write: Writer, x: Node) -> Node:
    """tanh x to a few units in the last place of float32: p/q of x/4, and tanh 2u = 2pq / (p² + q²) twice."""
    bounded = write(aten.clamp_max.default, write(aten.clamp_min.default, x, -10.0), 10.0)
    u = write(aten.mul.Tensor, bounded, 0.25)
    square = write(aten.mul.Tensor, u, u)
    p, q = write(aten.mul.Tensor, u, write.polynomial(square, _NUMERATOR)), write.polynomial(square, _DENOMINATOR)
    for _ in range(2):
        twice = write(aten.mul.Tensor, write(aten.mul.Tensor, p, q), 2.0)
        squares = write(aten.mul.Tensor, p, p), write(aten.mul.Tensor, q, q)
        p, q = twice, write(aten.add.Tensor, *squares)
    # Rounding may lead beyond 1, where a tanh is not.
    return write(aten.clamp_max.default, write(aten.clamp_min.default, write(aten.div.Tensor, p, q), -1.0), 1.0)
