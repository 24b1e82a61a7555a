"""What a model computed, read off the autograd graph of its scores: module or function, the graph holds them all."""

import re
from collections.abc import Container, Iterator, Sequence

from torch import Tensor
from torch.autograd.graph import Node

from labkit.errors import UnsuitableError

# Operations that are linear in what they are given (batch normalisation: by fixed averages), or only move values.
_LINEAR = """
    AccumulateGrad AdaptiveAvgPool2D AdaptiveAvgPool3D Add Addmm Addmv Alias AsStrided AvgPool2D AvgPool3D Cat Clone
    ConstantPadNd Convolution CopyBackwards CudnnBatchNorm Cumsum Diagonal Expand Flip Im2Col Index IndexSelect
    Linear Mean MiopenBatchNorm Mv NativeBatchNorm Neg Pad Permute PixelShuffle PixelUnshuffle ReflectionPad1D
    ReflectionPad2D Repeat ReplicationPad1D ReplicationPad2D ReshapeAlias Roll Rsub Select Slice Split
    SplitWithSizes Squeeze Stack Sub Sum T ToCopy Transpose Tril Triu Unbind Unfold UnsafeSplit UnsafeView Unsqueeze
    UpsampleBilinear2D UpsampleNearest1D UpsampleNearest2D View
"""
LINEAR = frozenset(_LINEAR.split())
# Linear as long as the input reaches one factor only; of a quotient, the dividend.
PRODUCTS = frozenset(("Mul", "Mm", "Bmm", "Baddbmm", "Dot", "Div", "Addmm", "Addmv", "Mv", "Linear", "Convolution"))
# The largest value takes all: linear as long as the same one is the largest.
LARGEST = frozenset(
    ("MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Amax", "Max")
)
RECTIFIERS = frozenset(("Relu", "Threshold", "ClampMin", "Clamp", "Hardtanh"))

_NAMES = {
    "Relu": "ReLU",
    "Gelu": "GELU",
    "Silu": "SiLU",
    "Softmax": "softmax",
    "SafeSoftmax": "softmax",
    "LogSoftmax": "log-softmax",
    "NativeLayerNorm": "layer normalisation",
    "NativeGroupNorm": "group normalisation",
    "NativeBatchNorm": "normalisation by the batch's own averages",
    "CudnnBatchNorm": "normalisation by the batch's own averages",
    "ScaledDotProductFlashAttentionForCpu": "attention",
    "ScaledDotProductFlashAttention": "attention",
    "ScaledDotProductEfficientAttention": "attention",
    "Mul": "a product of two values of the net",
    "Mm": "a product of two values of the net",
    "Bmm": "a product of two values of the net",
    "Div": "a quotient of two values of the net",
    "CopySlices": "an operation written into a part of a tensor",
    "CompiledFunction": "torch.compile",
    "CheckpointFunction": "torch.utils.checkpoint",
}


def nodes(output: Tensor) -> Iterator[Node]:
    """Every node of the graph behind `output`, each once."""
    waiting = [output.grad_fn] if output.grad_fn is not None else []
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


def operation(node: Node) -> str:
    """ "Relu" of a ReluBackward0."""
    return re.sub(r"Backward\d*$", "", type(node).__name__)


def is_rectifier(node: Node) -> bool:
    """max(x, 0), also with a ceiling, by whatever function it was called."""
    kind = operation(node)
    if kind == "Relu":
        return True
    if kind == "Threshold":
        return float(node._saved_threshold) == 0  # type: ignore[attr-defined]
    if kind in ("ClampMin", "Clamp"):
        least = node._saved_min  # type: ignore[attr-defined]
        return not isinstance(least, Tensor) and least is not None and float(least) == 0
    return kind == "Hardtanh" and float(node._saved_min_val) == 0  # type: ignore[attr-defined]


def is_linear(node: Node) -> bool:
    kind = operation(node)
    if kind in ("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm") and node._saved_training:  # type: ignore[attr-defined]
        return False
    if kind in PRODUCTS:
        # A bias is no factor: it stands first in Addmm, Addmv and Baddbmm, and last in Convolution and Linear.
        reached = [following is not None for following, _ in node.next_functions]
        if kind == "Div":
            return not any(reached[1:])
        factors = reached[1:] if kind in ("Addmm", "Addmv", "Baddbmm") else reached[:2]
        return sum(factors) <= 1
    if kind.startswith("ScaledDotProduct"):  # linear in the values, as long as queries and keys are constants
        return not any(following is not None for following, _ in node.next_functions[:2])
    return kind in LINEAR


def nonlinear(output: Tensor, handled: Container[Node] = ()) -> list[str]:
    """What is left that is not linear, without the nodes `handled`, in words, sorted."""
    return sorted({_named(node) for node in nodes(output) if node not in handled and not is_linear(node)})


def hidden(output: Tensor) -> list[str]:
    """Operations that may hold others which the graph does not show: custom functions, compiled or recomputed parts."""
    found = set()
    for node in nodes(output):
        custom = any(base.__name__ == "BackwardCFunction" for base in type(node).__mro__)
        if custom or operation(node) in ("CopySlices", "CompiledFunction", "CheckpointFunction"):
            found.add(_named(node))
    return sorted(found)


def refuse(method: str, takes: str, found: Sequence[str], instead: str) -> UnsuitableError:
    return UnsuitableError(
        f"Expected a model of {takes} for {method}, received one with {', '.join(found)}, for which it has no rule: "
        f"its map would be wrong without a word. {instead}"
    )


def _named(node: Node) -> str:
    kind = operation(node)
    return _NAMES.get(kind, kind)
