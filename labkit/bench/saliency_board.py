"""All of a leaderboard: the maps of a dozen methods and their scores."""

from time import perf_counter

from labkit import data, saliency, zoo

METHODS = (
    *("gradient", "smoothgrad", "input_x_gradient", "integrated_gradients", "guided_backprop", "deep_lift"),
    *("grad_cam", "layer_cam", "occlusion", "edge", "centre", "random"),
)
PICTURES = 100


def seconds() -> list[float]:
    """12 methods, 100 pictures of 48 x 48, six scores, the zoo's TinyVGG; on all cores but one, as always."""
    model, ds = zoo.load("objects_cnn"), data.objects(n=PICTURES)
    start = perf_counter()
    saliency.leaderboard(model, ds, METHODS)
    return [perf_counter() - start]
