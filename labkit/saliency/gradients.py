"""Methods that read the gradient at the input, or at many inputs on a path to it."""

from captum.attr import IntegratedGradients, Saliency
from torch import Tensor

from labkit.saliency.method import Method, Request

# Integrated gradients: with 50 points the completeness error of a small ReLU network is far below one per cent.
PATH_POINTS = 50


def gradient(request: Request) -> Tensor:
    return Saliency(request.model).attribute(request.x, request.target, abs=False)


def integrated_gradients(request: Request) -> Tensor:
    method = IntegratedGradients(request.model)
    return method.attribute(
        request.x,
        baselines=request.baseline,
        target=request.target,
        n_steps=request.options["points"],
        internal_batch_size=request.rows,
    )


GRADIENTS = {
    "gradient": Method(
        compute=gradient,
        formula="∂f/∂x",
        source="Simonyan et al. 2014, Deep Inside Convolutional Networks, section 3 (there with its absolute value)",
        assumes="That the score near this input is a plane: what a very small change of each value would do.",
        family="gradient",
    ),
    "integrated_gradients": Method(
        compute=integrated_gradients,
        formula="(x − x₀) · mean of ∂f/∂x on the way from x₀ to x",
        source="Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, eq. 1",
        assumes="That the baseline x₀ stands for nothing to see, and that the straight way to it is fair.",
        family="path",
        baseline=True,
        options={"points": PATH_POINTS},
    ),
}
