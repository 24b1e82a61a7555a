"""Methods that learn from a Dataset, in one form: fit(part, seed) -> probabilities(inputs) -> (n, classes).

`labkit.train.learning_curve` compares them; any function of this form can stand beside them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from labkit.train.trainer import Trainer, evaluation_mode

Probabilities = Callable[[Any], NDArray[np.float64]]
Fit = Callable[[Any, int], Probabilities]


def logistic(part: Any, seed: int = 0) -> Probabilities:
    """Multinomial logistic regression on standardised inputs, (n, ...) taken as vectors; scikit-learn's, with C = 0.01.

    It has no chance in it: `seed` changes nothing.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _fitted(make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)), part)


def boosting(part: Any, seed: int = 0) -> Probabilities:
    """Gradient-boosted decision trees (Friedman 2001) on inputs (n, ...) taken as vectors; scikit-learn's, histograms.

    25 rounds of trees of eight leaves; each split looks at 40 inputs drawn by `seed`, or at all where there are fewer.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings = {"max_iter": 25, "learning_rate": 0.25, "max_leaf_nodes": 8, "l2_regularization": 10.0}
    share = min(1.0, 40 / part.inputs[0].numel())
    model = HistGradientBoostingClassifier(**settings, max_features=share, early_stopping=False, random_state=seed)
    return _fitted(model, part)


def network(make: Callable[[int], nn.Module], steps: Callable[[int], int], **settings: Any) -> Fit:
    """Training a network: make(seed) builds it, steps(examples) says for how many steps; both are given by the caller.

    settings are those of `Trainer`; the learning rate follows `one_cycle`.
    """

    def fit(part: Any, seed: int = 0) -> Probabilities:
        count = steps(len(part))
        trainer = Trainer(make(seed), part, seed=seed, schedule=one_cycle(count), **settings)
        for _ in range(count):
            trainer.step()
        return lambda inputs: _outputs(trainer, inputs)

    return fit


def one_cycle(steps: int) -> Callable[[int], float]:
    """A schedule for `Trainer`: the rate rises over a tenth of the steps, stays, and falls to 0 over six tenths.

    (After Smith and Topin 2018, section 4. Without the rise, Adam's first steps spoil small weights.)
    """
    return lambda step: max(0.0, min(1.0, (step + 1) / (0.1 * steps), (steps - step) / (0.6 * steps)))


def _outputs(trainer: Trainer, inputs: torch.Tensor) -> NDArray[np.float64]:
    with trainer.session(), evaluation_mode(trainer.model), torch.inference_mode():
        outputs = [trainer.model(batch.to(trainer.device)).float().softmax(1).cpu() for batch in inputs.split(1000)]
    return torch.cat(outputs).double().numpy()


def _fitted(model: Any, part: Any) -> Probabilities:
    """The model's probabilities, with a column for each class up to the highest that it has seen."""
    model.fit(part.inputs.flatten(1).numpy(), part.targets.numpy())

    def probabilities(inputs: torch.Tensor) -> NDArray[np.float64]:
        columns = np.zeros((len(inputs), int(model.classes_.max()) + 1))
        columns[:, model.classes_] = model.predict_proba(inputs.flatten(1).numpy())
        return columns

    return probabilities
