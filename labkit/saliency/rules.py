"""Methods that go backwards by rules of their own where the gradient would pass an activation or a weighted sum.

The rules take hold of what the model computes, not of its modules: `F.relu` and `nn.ReLU`, one module called twice and
an operation in place are all seen (hooks on modules miss the first and are confused by the others). What is left over
is read off the autograd graph, and refused.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from labkit.errors import SettingError, UnsuitableError
from labkit.saliency import graph
from labkit.saliency.gradients import no_gradient
from labkit.saliency.method import Method, Request

# Below this difference to the baseline DeepLift's quotient is lost in rounding: the slope takes its place.
SMALL = 1e-6
# What DeepLift may miss of the score's difference before a note says so.
COMPLETE = 0.01
ANOTHER = "Take one that asks nothing of the layers: integrated_gradients, smoothgrad or occlusion."


def _functions(names: str) -> frozenset[Callable[..., Any]]:
    """All that torch has by these names: functions, methods, and their kinds that write in place."""
    found = set()
    for name in names.split():
        for place in (torch, F, Tensor):
            found |= {getattr(place, kind) for kind in (name, f"{name}_") if hasattr(place, kind)}
    return frozenset(found)


ACTIVATIONS = _functions(
    "relu relu6 hardtanh leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid sigmoid tanh softplus "
    "logsigmoid threshold prelu clamp clamp_min"
)
# Functions of one value.
SINGLE = ACTIVATIONS | _functions("clamp_max clip exp log abs square sqrt rsqrt reciprocal pow __pow__ sin cos")
SOFTMAX = _functions("softmax")
CONVOLUTIONS = _functions("conv1d conv2d conv3d")
# {a max-pooling, by each of its names: the same which also tells where the largest stood}
POOLS: dict[Any, Callable[..., Any]] = {
    getattr(place, name): getattr(F, f"{name}_with_indices")
    for place in (torch, F)
    for name in (f"{kind}max_pool{sides}d" for kind in ("", "adaptive_") for sides in (1, 2, 3))
    if hasattr(place, name)
}


# Guided backpropagation and deconvolution


def guided_backprop(request: Request) -> Tensor:
    return _rectified(request, "guided backpropagation", lambda given, arrived: given.clamp(min=0))


def deconvolution(request: Request) -> Tensor:
    return _rectified(request, "deconvolution", lambda given, arrived: arrived.clamp(min=0))


def _rectified(request: Request, method: str, rule: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The gradient, but for what `rule(gradient at its input, what arrived at its output)` gives at every ReLU."""

    def hook(given: tuple[Tensor, ...], arrived: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (rule(given[0], arrived[0]), *given[1:])

    def part(x: Tensor, some: slice) -> Tensor:
        scores = request.model(x)
        if some.start == 0:
            check_rectified(request, scores, method)
        for node in graph.nodes(scores):
            if graph.is_rectifier(node):
                node.register_hook(hook)
        return _gradient(scores, request.target[some], x)

    return _in_parts(request, part)


def check_rectified(request: Request, scores: Tensor, method: str) -> None:
    """UnsuitableError where `scores` may hide ReLUs; a note where the rule changes nothing or not all."""
    if not scores.requires_grad:
        raise no_gradient()
    hidden = graph.hidden(scores)
    if hidden:
        raise UnsuitableError(
            f"Expected a model whose ReLUs can be seen for {method}, received one with {', '.join(hidden)}, which may "
            f"hide some. Bring it without, or take another method. {ANOTHER}"
        )
    kinds = list(graph.nodes(scores))
    rectifiers = {node for node in kinds if graph.is_rectifier(node)}
    others = graph.nonlinear(scores, rectifiers | {node for node in kinds if graph.operation(node) in graph.LARGEST})
    if not rectifiers:
        request.note(f"The model has no ReLU, where {method} has its rule: this is the plain gradient.")
    elif others:
        request.note(f"{method.capitalize()} has a rule for ReLU only; {', '.join(others)} passes the plain gradient.")


# DeepLift


def deep_lift(request: Request) -> Tensor:
    missed: list[Tensor] = []
    differences: list[Tensor] = []

    def part(x: Tensor, some: slice) -> Tensor:
        start, target = request.baseline[some], request.target[some]
        scores, before = _lifted(request, x, start)
        values = (x - start) * _gradient(scores, target, x)
        differences.append((scores - before).gather(1, target[:, None])[:, 0].detach())
        missed.append(values.detach().flatten(1).sum(1) - differences[-1])
        return values

    result = _in_parts(request, part)
    error, whole = float(torch.cat(missed).abs().mean()), float(torch.cat(differences).abs().mean())
    if error > COMPLETE * whole:
        request.note(
            f"DeepLift's values should add up to the score's difference to the baseline, {whole:.3g} on average; they "
            f"miss it by {error:.3g} ({100 * error / whole:.0f} %)."
        )
    return result


def _lifted(request: Request, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """(scores with DeepLift's graph behind them, scores of the baseline)."""
    with torch.no_grad(), _Recorded() as recorded:
        before = request.model(start)
    calls = iter(recorded.calls)
    with _Lifted(calls) as lifted:
        scores = request.model(x)
    if next(calls, None) is not None:
        raise _other_ways()
    if not scores.requires_grad:
        raise no_gradient()
    left = graph.nonlinear(scores, set(lifted.handled))
    if left:
        raise graph.refuse("DeepLift", "weighted sums, functions of one value and max-pooling", left, ANOTHER)
    return scores, before


def _guard_deep_lift(request: Request) -> None:
    _lifted(request, request.x, request.baseline)


class _Recorded(TorchFunctionMode):
    """What goes in and out of every function of one value and every max-pooling, as the baseline has it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _has_rule(func, args, kwargs):
            return func(*args, **kwargs)
        given = _given(args, kwargs).clone()  # copies: the model may write over either
        if func in POOLS:
            output, index = _pooled(func, args, kwargs)
            self.calls.append((given, output.clone(), index))
        else:
            output = func(*args, **kwargs)
            self.calls.append((given, output.clone(), None))
        return output


class _Lifted(TorchFunctionMode):
    """DeepLift's multipliers Δy/Δx in the place of slopes (Shrikumar et al. 2017, section 3.2 and eq. 7)."""

    def __init__(self, calls: Iterator[tuple[Tensor, Tensor, Tensor | None]]) -> None:
        super().__init__()
        self.handled: list[Node] = []
        self._calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _has_rule(func, args, kwargs):
            return func(*args, **kwargs)
        given = _given(args, kwargs)
        given_before, output_before, index_before = next(self._calls, (None, None, None))
        if given_before is None or output_before is None or given_before.shape != given.shape:
            raise _other_ways()
        change = given.detach() - given_before
        if index_before is not None:
            output, index = _pooled(func, (given.detach(), *args[1:]) if args else args, kwargs)
            rule = _pool_rule(change, output, output_before, index, index_before)
            output = _Ruled.apply(given, output, rule)
        else:
            output = func(*args, **kwargs)
            if output.grad_fn is not None and graph.operation(output.grad_fn) != "CopySlices":
                output.grad_fn.register_hook(_rescale(change, output.detach() - output_before))
        if output.grad_fn is not None and graph.operation(output.grad_fn) != "CopySlices":
            self.handled.append(output.grad_fn)
        return output


def _other_ways() -> UnsuitableError:
    return UnsuitableError(
        "Expected a model that does the same for an input and its baseline, which DeepLift compares step by step, "
        f"received one that goes other ways for them. {ANOTHER}"
    )


def _has_rule(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    if func in POOLS:
        return not kwargs.get("return_indices", False) and not any(value is True for value in args)
    if func not in SINGLE:
        return False
    given = _given(args, kwargs)
    others = (value for value in (*args[1:], *kwargs.values()) if value is not given)
    return isinstance(given, Tensor) and not any(isinstance(value, Tensor) and value.requires_grad for value in others)


def _given(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input")


def _pooled(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    output, index = POOLS[func](*args, **{name: value for name, value in kwargs.items() if name != "return_indices"})
    return output, index


def _rescale(change: Tensor, effect: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    small = change.abs() < SMALL
    multiplier = effect / change.masked_fill(small, 1)

    def hook(given: tuple[Tensor, ...], arrived: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.where(small, given[0], arrived[0] * multiplier), *given[1:])

    return hook


def _pool_rule(
    change: Tensor, output: Tensor, output_before: Tensor, index: Tensor, index_before: Tensor
) -> Callable[[Tensor], Tensor]:
    """The winner for the input answers for what it added, the winner for the baseline for what went.

    As captum and shap have it. With y, y₀ the outputs: max(y, y₀) − y₀ for the first, y − max(y, y₀) for the second.
    """
    most = torch.maximum(output, output_before)
    added, gone = most - output_before, output - most
    small = change.abs() < SMALL

    def rule(arrived: Tensor) -> Tensor:
        share = torch.zeros_like(change).flatten(2)
        share.scatter_add_(2, index.flatten(2), (arrived * added).flatten(2))
        share.scatter_add_(2, index_before.flatten(2), (arrived * gone).flatten(2))
        return (share.reshape(change.shape) / change.masked_fill(small, 1)).masked_fill(small, 0)

    return rule


class _Ruled(torch.autograd.Function):
    """`output`, which was computed from `given`; backwards goes by `rule`."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, output: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.rule = rule
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> Any:
        return ctx.rule(arrived[0]), None, None


# Layer-wise relevance propagation


def lrp(request: Request) -> Tensor:
    def part(x: Tensor, some: slice) -> Tensor:
        return x * _gradient(_relevant(request, x), request.target[some], x)

    return _in_parts(request, part)


def _relevant(request: Request, x: Tensor) -> Tensor:
    """Scores behind which stands a graph whose input x gradient is the relevance."""
    for option in ("gamma", "epsilon"):
        value = request.options[option]
        if not (isinstance(value, int | float) and value >= 0):
            raise SettingError(f"Expected {option} of 0 or more, received {value!r}.")
    with _Relevant(request.options["gamma"], request.options["epsilon"]) as relevant:
        scores = request.model(x)
    passed = {node for node in graph.nodes(scores) if graph.operation(node) in graph.LARGEST}
    left = graph.nonlinear(scores, passed.union(relevant.handled))
    if left:
        raise graph.refuse("LRP", "weighted sums, activations, max-pooling, layer norms and attention", left, ANOTHER)
    if not scores.requires_grad:
        raise UnsuitableError(
            "Expected scores that weighted sums lead to for LRP, received some that only reach the input through a "
            f"softmax or not at all. Bring the model without the softmax at its end. {ANOTHER}"
        )
    return scores


def _guard_lrp(request: Request) -> None:
    _relevant(request, request.x)


class _Relevant(TorchFunctionMode):
    """A model's functions, each replaced by one of the same value whose gradient times its input is the relevance.

    Montavon et al. 2019, Layer-Wise Relevance Propagation: An Overview, section 10.2 (the rules) and 10.3.2 (this way
    of computing them); of layer norms and attention, Ali et al. 2022, XAI for Transformers, eq. 8 and 9.
    """

    def __init__(self, gamma: float, epsilon: float) -> None:
        super().__init__()
        self.handled: list[Node] = []
        self._gamma, self._epsilon = gamma, epsilon

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in ACTIVATIONS and _has_rule(func, args, kwargs):
            return self._activation(func, args, kwargs)
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor) or not output.requires_grad:
            return output
        if func is F.linear:
            return self._proportional(output, output.detach())
        if func in CONVOLUTIONS:
            return self._convolution(func, output, *args, **kwargs)
        if func in SOFTMAX:
            return output.detach()
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is F.layer_norm:
            return _layer_norm(*args, **kwargs)
        return output

    def _activation(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """f(x) = x · (f(x)/x), the quotient being a constant: relevance passes as it is."""
        given = _given(args, kwargs)
        copy = given.detach().clone()
        output = func(copy, *args[1:], **{name: value for name, value in kwargs.items() if name != "input"})
        slope = output / given.detach().masked_fill(given.detach() == 0, 1)
        ruled = self._ruled(given, output, lambda arrived: arrived * slope)
        return given.copy_(ruled) if output is copy else ruled  # as the model does: in place or not

    def _convolution(self, func: Any, output: Tensor, input: Tensor, *rest: Any, **named: Any) -> Tensor:
        if self._gamma == 0:
            return self._proportional(output, output.detach())
        given = input.detach().requires_grad_()
        with torch.enable_grad():
            whole = func(given, *rest, **named)
            favoured = whole + self._gamma * _favoured(func, whole, given, *rest, **named)
        output = output.detach()
        slope = output / _away_from_zero(favoured.detach(), self._epsilon)
        return self._ruled(input, output, lambda arrived: torch.autograd.grad(favoured, given, arrived * slope)[0])

    def _proportional(self, given: Tensor, output: Tensor) -> Tensor:
        """`output`, with output/given for its slope."""
        slope = output / _away_from_zero(given.detach(), self._epsilon)
        return self._ruled(given, output, lambda arrived: arrived * slope)

    def _ruled(self, given: Tensor, output: Tensor, rule: Callable[[Tensor], Tensor]) -> Tensor:
        ruled: Tensor = _Ruled.apply(given, output, rule)
        if ruled.grad_fn is not None:
            self.handled.append(ruled.grad_fn)
        return ruled


def _favoured(
    func: Any, output: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None, *more: Any, **named: Any
) -> Tensor:
    """The part of a convolution's sum (bias included) that has the sign of the whole."""
    positive = func(input.clamp(min=0), weight.clamp(min=0), None, *more, **named)
    if bool((input < 0).any()):
        positive = positive + func(input.clamp(max=0), weight.clamp(max=0), None, *more, **named)
    if bias is not None:
        positive = positive + bias.clamp(min=0).reshape(-1, *(1,) * (weight.ndim - 2))
    return torch.where(output.detach() >= 0, positive, output - positive)


def _attention(query: Tensor, key: Tensor, value: Tensor, *more: Any, **named: Any) -> Tensor:
    """How much attention is paid counts as fixed: relevance goes to the values."""
    return F.scaled_dot_product_attention(query.detach(), key.detach(), value, *more, **named)


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The standard deviation counts as fixed."""
    places = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(places, keepdim=True)
    output = centred * (centred.detach().square().mean(places, keepdim=True) + eps).rsqrt()
    if weight is not None:
        output = output * weight
    return output if bias is None else output + bias


def _away_from_zero(values: Tensor, epsilon: float) -> Tensor:
    return values + torch.where(values < 0, -epsilon, epsilon)


# What they share


def _in_parts(request: Request, part: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """`part(x, which examples they are)` for at most `request.rows` examples at a time."""
    values = []
    for start in range(0, len(request.x), request.rows):
        some = slice(start, min(start + request.rows, len(request.x)))
        values.append(part(request.x[some].detach().requires_grad_(), some).detach())
        request.progress(some.stop, len(request.x))
    return torch.cat(values)


def _gradient(scores: Tensor, target: Tensor, x: Tensor) -> Tensor:
    total = scores.gather(1, target[:, None]).sum()
    found = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    if found is None:
        raise no_gradient()
    return found


def _guard_of(method: str) -> Callable[[Request], None]:
    return lambda request: check_rectified(request, request.model(request.x), method)


RULES = {
    "guided_backprop": Method(
        compute=guided_backprop,
        formula="∂f/∂x, at every ReLU only what is positive going back",
        source="Springenberg et al. 2015, Striving for Simplicity, section 3.4",
        assumes="That what speaks against a unit is noise; its maps are sharp, and change little with the weights.",
        family="rule",
        guard=_guard_of("guided backpropagation"),
    ),
    "deconvolution": Method(
        compute=deconvolution,
        formula="∂f/∂x, every ReLU passing what arrives from above and is positive",
        source="Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, section 2.1",
        assumes="That a layer can be undone by its own weights; where the ReLU stood on the way up is forgotten.",
        family="rule",
        guard=_guard_of("deconvolution"),
    ),
    "deep_lift": Method(
        compute=deep_lift,
        formula="(x − x₀) · ∂f/∂x with Δy/Δx for the slope of every activation",
        source="Shrikumar et al. 2017, Learning Important Features Through Propagating Activation Differences, eq. 7 "
        "(the rescale rule)",
        assumes="That the baseline x₀ stands for nothing to see, and that each activation answers for its own change.",
        family="rule",
        baseline=True,
        guard=_guard_deep_lift,
    ),
    "lrp": Method(
        compute=lrp,
        formula="Rⱼ = Σₖ aⱼ wⱼₖ / (Σⱼ aⱼ wⱼₖ) · Rₖ, in convolutions favouring what has the sum's sign by γ",
        source="Bach et al. 2015, On Pixel-Wise Explanations; Montavon et al. 2019, An Overview, section 10.2",
        assumes="That a value's share in each sum is its share in the decision; biases keep a part of it.",
        family="rule",
        options={"gamma": 0.25, "epsilon": 1e-6},
        guard=_guard_lrp,
    ),
}
