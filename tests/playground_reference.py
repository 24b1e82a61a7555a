"""TensorFlow Playground's network and training, written out once more in plain NumPy: the oracle of labkit's.

What it does is that of its nn.ts and playground.ts (Smilkov and Carter, 2016), one example at a time in float64:
derivatives add up from example to example; when a batch is full, each bias moves against its mean derivative, each
weight too, and then the weight moves once more by the derivative that its penalty had before the update. Nothing here
uses torch or labkit.
"""

from dataclasses import dataclass, field

import numpy as np

# name: (function, its derivative by the weighted sum)
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "linear": (lambda z: z, lambda z: np.ones_like(z)),
}

FEATURES = {
    "x1": lambda x, y: x,
    "x2": lambda x, y: y,
    "x1_squared": lambda x, y: x * x,
    "x2_squared": lambda x, y: y * y,
    "x1_x2": lambda x, y: x * y,
    "sin_x1": lambda x, y: np.sin(x),
    "sin_x2": lambda x, y: np.sin(y),
}


def features(points, names):
    """The inputs (n, len(names)) that the network is given for points (n, 2)."""
    x, y = np.asarray(points, float).T
    return np.stack([FEATURES[name](x, y) for name in names], axis=1)


@dataclass
class Layer:
    """weight (out, in), bias (out,), the activation's name; and what has added up since the last update."""

    weight: np.ndarray
    bias: np.ndarray
    activation: str
    sum: np.ndarray = field(init=False)
    source: np.ndarray = field(init=False)
    examples: int = 0

    def __post_init__(self):
        self.weight, self.bias = np.array(self.weight, float), np.array(self.bias, float)
        self.weight_slopes, self.bias_slopes = np.zeros_like(self.weight), np.zeros_like(self.bias)
        self.dead = np.zeros(self.weight.shape, bool)


class Network:
    """Layers from first to output. `l1` and `l2` are the rates of the penalties (the original takes one of them).

    With `dead_weights` a weight that its L1 penalty carries through zero stays zero for ever, as in the original;
    without, it becomes zero and goes on learning.
    """

    def __init__(self, layers, l1=0.0, l2=0.0, dead_weights=False):
        self.layers = [Layer(*layer) for layer in layers]
        self.l1, self.l2, self.dead_weights = l1, l2, dead_weights

    def forward(self, inputs):
        """One example (features,) -> output (1,)."""
        values = np.asarray(inputs, float)
        for layer in self.layers:
            layer.source = values
            layer.sum = layer.weight @ values + layer.bias
            values = ACTIVATIONS[layer.activation][0](layer.sum)
        return values

    def backward(self, output, target):
        """Adds the derivatives of (output - target)^2 / 2 for the example that `forward` saw last."""
        slope = output - target
        for layer in reversed(self.layers):
            by_sum = slope * ACTIVATIONS[layer.activation][1](layer.sum)
            layer.bias_slopes += by_sum
            layer.weight_slopes += np.outer(by_sum, layer.source)
            layer.examples += 1
            slope = layer.weight.T @ by_sum

    def gradients(self):
        """[(weights', biases')] of the mean loss, without penalties, of the examples since the last update."""
        return [(layer.weight_slopes / layer.examples, layer.bias_slopes / layer.examples) for layer in self.layers]

    def update(self, lr):
        for layer in self.layers:
            layer.bias -= lr * layer.bias_slopes / layer.examples
            penalty = self.l1 * np.sign(layer.weight) + self.l2 * layer.weight
            learned = layer.weight - lr / layer.examples * layer.weight_slopes
            after = learned - lr * penalty
            if self.l1:
                crossed = learned * after < 0
                after[crossed] = 0
                if self.dead_weights:
                    after[layer.dead] = 0
                    layer.dead |= crossed
            layer.weight = after
            layer.weight_slopes[:], layer.bias_slopes[:], layer.examples = 0, 0, 0

    def epoch(self, inputs, targets, lr, batch_size):
        """One pass over the examples in their order; the original's button "step"."""
        for i, (example, target) in enumerate(zip(inputs, targets, strict=True), start=1):
            self.backward(self.forward(example), target)
            if i % batch_size == 0:
                self.update(lr)

    def loss(self, inputs, targets):
        """The mean of (output - target)^2 / 2; penalties are not in it."""
        return float(np.mean([(self.forward(x) - t) ** 2 / 2 for x, t in zip(inputs, targets, strict=True)]))


def train(network, train_set, test_set, lr, batch_size, epochs):
    """Losses (epochs + 1, 2) on (inputs, targets) pairs: train and test, before and after each epoch."""
    losses = [[network.loss(*train_set), network.loss(*test_set)]]
    for _ in range(epochs):
        network.epoch(*train_set, lr, batch_size)
        losses.append([network.loss(*train_set), network.loss(*test_set)])
    return np.array(losses)
