"""Every exercise with its stub, its solution, and three wrong answers that each get their own message."""

import math
import re

import numpy as np
import pytest
import torch
import wrong_answers
from captum.attr import IntegratedGradients
from sklearn.metrics import jaccard_score, precision_score, recall_score
from torch import nn

import labkit
from labkit.data import handmade
from labkit.errors import SettingError
from labkit.exercises import EXERCISES, convolution, depth, features, hierarchy, neurons, saliency

WRONG = wrong_answers.WRONG | {
    "start.accuracy": {
        "counts the right ones": lambda p, t: (p == t).sum(),
        "share of wrong": lambda p, t: (p != t).float().mean(),
        "percentage": lambda p, t: 100 * (p == t).float().mean(),
        "one number": lambda p, t: p == t,
        "how you divide": lambda p, t: (p == t).sum() / 8 if (p != t).any() else 8,
    },
    "start.steps_per_epoch": {
        "Round up, not down": lambda n, b: n // b,
        "whole number": lambda n, b: n / b,
        "come out even": lambda n, b: n // b + 1,
    },
    "start.gradient_step": {
        "climbs": lambda w, g, lr: w + lr * g,
        "whole gradient": lambda w, g, lr: w - g,
        "change of the weight": lambda w, g, lr: -lr * g,
        "1.95 is expected": lambda w, g, lr: w * lr,
    },
    "neurons.weighted_sum": {
        "before the activation": lambda x, w, b: (w * x).sum() + b,
        "bias is missing": lambda x, w, b: torch.tanh((w * x).sum()),
        "bias came after tanh": lambda x, w, b: torch.tanh((w * x).sum()) + b,
        "tanh of each product": lambda x, w, b: torch.tanh(w * x).sum() + b,
        "one tanh for each input": lambda x, w, b: torch.tanh(w * x + b).sum(),
        "once for each input": lambda x, w, b: torch.tanh((w * x + b).sum()),
        "adds weights and inputs": lambda x, w, b: torch.tanh((w + x).sum() + b),
        "weights are missing": lambda x, w, b: torch.tanh(x.sum() + b),
        "one number": lambda x, w, b: torch.tanh(w * x + b),
        "the sum is 0.55": lambda x, w, b: torch.sigmoid((w * x).sum() + b),
    },
    "neurons.xor": {
        "one straight line. That is no XOR": lambda: ([], "tanh"),
        "add up to one weighted sum": lambda: ([8, 8], "linear"),
        "One neuron draws one line": lambda: ([1], "tanh"),
        "a band across the middle": lambda: ([2], "relu"),
        "Put all your neurons there": lambda: ([2, 1], "tanh"),
        "starts, with 4 hidden neurons. Fewer": lambda: ([4], "tanh"),
        "you have 16. Look for fewer": lambda: ([8, 8], "tanh"),
        "falls before it rises": lambda: ([2], "gelu"),
        "such as [8, 4]": lambda: [3],
        "a layer's width": lambda: ([4, 0], "tanh"),
        "not enough": lambda: ([3, 1], "sigmoid"),
    },
    "neurons.dead_unit": {
        "Turn it round": lambda z: (z > 0).any(dim=0),
        "Off for some examples is healthy": lambda z: (z <= 0).any(dim=0),
        "Below 0 on average": lambda z: z.mean(dim=0) < 0,
        "exactly 0": lambda z: (z < 0).all(dim=0),
        "dim=0": lambda z: (z <= 0).all(dim=1),
        "received 2 values": lambda z: (z <= 0).all(dim=0).nonzero(),
        "True or False for each of the 5 units, such as": lambda z: (z <= 0).all(),
        "Units 1 and 3": lambda z: [True] * 5,
    },
    "neurons.surface": {
        "Look at C": lambda: [4, 1, 2, 3],
        "Look at B": lambda: [2, 4, 1, 3],
        "Look at A and D": lambda: [3, 2, 1, 4],
        "in some order": lambda: [4, 2, 1, 1],
        "Give four numbers": lambda: "DBCA",
    },
}


def stub(*arguments): ...


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_solution_and_wrong_answers(name):
    exercise = labkit.exercise(name)
    for untouched in (None, ..., stub):
        outcome = exercise.check(untouched)
        assert outcome.state == "unattempted"
        assert exercise.question in outcome.message

    namespace = {}
    exec(exercise.code, namespace)
    function = namespace[name.split(".")[1]]
    assert exercise.check(function).state == "right"
    assert exercise.code in exercise.solution().message

    assert len(WRONG[name]) >= 3
    messages = {part: exercise.check(answer) for part, answer in WRONG[name].items()}
    for part, outcome in messages.items():
        assert outcome.state == "wrong"
        assert part in outcome.message
    assert len({outcome.message for outcome in messages.values()}) == len(messages)


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("odd", [3, "text", math.nan, lambda: 1, lambda *a: "x", lambda *a: 1 / 0, object])
def test_check_never_raises(name, odd):
    assert labkit.exercise(name).check(odd).state == "wrong"


def test_a_mistake_of_the_learners_code_is_shown_with_its_line():
    def accuracy(predicted, target):
        return predicted.magic()

    message = labkit.exercise("start.accuracy").check(accuracy).message
    assert "AttributeError" in message
    assert "return predicted.magic()" in message


def test_the_line_is_the_learners_also_where_a_library_raised_and_none_where_the_call_failed():
    def accuracy(predicted, target):
        return np.linalg.inv(np.zeros((2, 2)))

    message = labkit.exercise("start.accuracy").check(accuracy).message
    assert message.endswith("in the line: return np.linalg.inv(np.zeros((2, 2)))")
    message = labkit.exercise("start.accuracy").check(lambda: 1).message
    assert "takes 0 positional arguments but 2 were given" in message
    assert "in the line" not in message


def test_complex_numbers_are_refused_and_a_number_with_a_gradient_counts():
    message = labkit.exercise("descent.limit").check(lambda x: 1j).message
    assert message == "The limit should be real; received complex numbers."
    message = labkit.exercise("backprop.finite_difference").check(lambda *_: torch.ones((), requires_grad=True)).message
    assert message == "The finite difference should be 36.03; received 1."


def test_hints_come_one_after_the_other_and_the_last_stays():
    exercise = labkit.exercise("start.accuracy")
    exercise._hints_given = 0
    assert [str(exercise.hint())[:13] for _ in range(3)] == ["? Hint 1 of 2", "? Hint 2 of 2", "? Hint 2 of 2"]


def test_text_is_escaped():
    def answer(*_):
        raise ValueError("<script>alert(1)</script>")

    html = labkit.exercise("start.accuracy").check(answer)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_an_unknown_exercise_is_named():
    with pytest.raises(SettingError, match="start.accuracy"):
        labkit.exercise("start.nothing")


# Neurons


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "leaky_relu"])
def test_three_neurons_solve_xor_and_two_do_not(activation):
    """What the check holds for the fewest is so, for each activation that only rises."""
    exercise = labkit.exercise("neurons.xor")
    assert exercise.check(lambda: ([3], activation)).state == "right"
    assert "a band" in exercise.check(lambda: ([2], activation)).message


def test_the_surfaces_show_what_their_exercise_asks_about():
    curves, band, line, pieces = (neurons._surface_of(net) for net in (4, 2, 1, 3))
    slopes = [np.diff(np.arctanh(line), axis=axis) for axis in (0, 1)]
    assert max(np.ptp(slope) for slope in slopes) < 1e-4 < np.abs(slopes[0]).min()
    assert (np.diff(np.sign(np.diag(band[::-1]))) != 0).sum() == 2
    for crossed in (curves, pieces):
        assert np.sign(crossed[[0, 0, -1, -1], [0, -1, 0, -1]]).tolist() == [-1, 1, 1, -1]
    assert straight(pieces) > 0.8 > 0.2 > straight(curves)


def straight(surface):
    """The share of places where the sum before the last tanh goes on along the diagonal as it came."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.arctanh(np.where(np.abs(surface) < 0.999, surface, np.nan))
    bend = np.abs(sums[2:, 2:] - 2 * sums[1:-1, 1:-1] + sums[:-2, :-2])
    return (bend[np.isfinite(bend)] < 1e-3).mean()


def test_the_figure_shows_the_surfaces_in_the_order_of_the_answer():
    figure = neurons.four_surfaces()
    assert [axes.get_title() for axes in figure.axes] == list("ABCD")
    for axes, net in zip(figure.axes, (4, 2, 1, 3), strict=True):
        assert np.array_equal(axes.images[0].get_array(), neurons._surface_of(net))
    assert "B: a straight band" in figure.alt


# Backpropagation


def by_autograd(loss, *values):
    return torch.autograd.grad(loss, values)


def test_chain_rule_asks_for_autograds_gradients():
    def answer(x, w, b, dy):
        x, w, b = (value.clone().requires_grad_() for value in (x, w, b))
        return by_autograd((torch.tanh(w @ x + b) * dy).sum(), w, b, x)

    assert labkit.exercise("backprop.chain_rule").check(answer).state == "right"


def test_two_layers_asks_for_autograds_gradients():
    def answer(*arrays):
        x, y, w1, b1, w2, b2 = (torch.tensor(array, requires_grad=True) for array in arrays)
        out = nn.functional.linear(nn.functional.linear(x, w1, b1).relu(), w2, b2)
        return by_autograd(nn.functional.mse_loss(out, y), w1, b1, w2, b2)

    assert labkit.exercise("backprop.two_layers").check(answer).state == "right"


def test_two_layers_has_each_neuron_on_and_off():
    """Else an answer without ReLU, or with a dead neuron, could pass."""
    seen = []
    labkit.exercise("backprop.two_layers").check(lambda x, y, w1, b1, w2, b2: seen.append(x @ w1.T + b1))
    assert (seen[0] > 0).any(0).all() and (seen[0] < 0).any(0).all()


def test_finite_difference_may_nudge_in_place_and_put_back():
    def answer(loss, w, i, h):
        w[i] += h
        plus = loss(w)
        w[i] -= 2 * h
        minus = loss(w)
        w[i] += h
        return (plus - minus) / (2 * h)

    assert labkit.exercise("backprop.finite_difference").check(answer).state == "right"


def test_sum_over_uses_asks_for_autograds_derivative():
    def answer(w, x):
        w = torch.tensor(w, requires_grad=True)
        return by_autograd(w * torch.tanh(w * x), w)[0]

    assert labkit.exercise("backprop.sum_over_uses").check(answer).state == "right"


# Descent


def test_the_limit_parts_runs_that_converge_from_those_that_diverge():
    seen = []
    labkit.exercise("descent.limit").check(seen.append)
    (x,) = seen

    def converges(lr):
        w = torch.ones(x.shape[1], 1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr)
        for _ in range(600):
            optimizer.zero_grad()
            nn.functional.mse_loss(x @ w, torch.zeros(len(x), 1)).backward()
            optimizer.step()
        return bool(w.norm() < 1)

    assert converges(0.62) and not converges(0.63)
    assert labkit.exercise("descent.limit").check(lambda x: 0.625).state == "right"


def stepped(optimizer, w, gradient, **state):
    """The weight and the optimiser's state after one step of torch's own, from that state."""
    weight = nn.Parameter(torch.tensor(w, dtype=torch.float64))
    optimizer = optimizer([weight])
    optimizer.state[weight] = {name: torch.tensor(value, dtype=torch.float64) for name, value in state.items()}
    weight.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()
    return weight, optimizer.state[weight]


def test_momentum_asks_for_the_step_of_torch():
    def answer(w, v, gradient, lr, momentum):
        weight, state = stepped(lambda weights: torch.optim.SGD(weights, lr, momentum), w, gradient, momentum_buffer=v)
        return weight, state["momentum_buffer"]

    assert labkit.exercise("descent.momentum").check(answer).state == "right"


def test_adam_asks_for_the_step_of_torch():
    def answer(w, gradient, m, v, t, lr, beta1, beta2, eps):
        weight, state = stepped(
            lambda weights: torch.optim.Adam(weights, lr, (beta1, beta2), eps),
            *(w, gradient),
            **{"step": t - 1.0, "exp_avg": m, "exp_avg_sq": v},
        )
        return weight, state["exp_avg"], state["exp_avg_sq"]

    assert labkit.exercise("descent.adam").check(answer).state == "right"


# Depth


def test_he_asks_for_what_torch_draws():
    def answer(shape):
        weight = torch.empty(400, *shape[1:])
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=torch.Generator().manual_seed(0))
        drawn = weight.std().item()
        return math.sqrt(2 / round(2 / drawn**2, -1))

    assert labkit.exercise("depth.he").check(answer).state == "right"


def test_residual_asks_for_autograds_slope():
    def answer(x, w):
        x = torch.tensor(x, requires_grad=True)
        y = x + torch.tanh(w * x)
        return y, *by_autograd(y, x)

    assert labkit.exercise("depth.residual").check(answer).state == "right"


def test_each_patient_has_its_illness_and_no_other():
    first, last, zeros, ends = {}, {}, {}, {}
    for patient, illness in depth._ILLNESSES.items():
        outputs, gradients = depth._statistics(patient)
        first[illness], last[illness] = gradients[0], gradients[-1]
        zeros[illness] = (outputs[-1] == 0).all(0).float().mean()
        ends[illness] = ((outputs[5] < 0.03) | (outputs[5] > 0.97)).float().mean()
    assert first["dead"] == 0 and zeros["dead"] == 1
    assert 0 < first["vanishing"] < 1e-3 * last["vanishing"] and zeros["vanishing"] == 0
    assert first["exploding"] > 1e3 * last["exploding"] and zeros["exploding"] < 0.2
    assert 0 < first["saturated"] < 1e-3 * last["saturated"] and ends["saturated"] > 0.75


def test_the_figure_of_the_patients_shows_their_statistics():
    figure = depth.four_patients()
    assert [axes.get_title() for axes in figure.axes[:4]] == list("ABCD")
    for axes, patient in zip(figure.axes[4:], "ABCD", strict=True):
        shown = np.nan_to_num(axes.lines[0].get_ydata())
        assert np.array_equal(shown, depth._statistics(patient)[1])
    assert "C: activations grow" in figure.alt


# Convolution


def test_conv2d_asks_for_torchs_convolution():
    def answer(x, w, stride, padding):
        return nn.functional.conv2d(torch.tensor(x)[None, None], torch.tensor(w)[None, None], None, stride, padding)[
            0, 0
        ]

    assert labkit.exercise("convolution.conv2d").check(answer).state == "right"


def test_planted_edges_pass_through_the_middle_and_the_kernel_is_asked_to_tell_them_apart():
    edges = {name[0]: np.array(edge) for name, edge in convolution._EDGES.items()}
    for edge in edges.values():
        assert np.array_equal(edge[::-1, ::-1], 1 - edge)  # turned by 180 degrees it is its own opposite
    figure = convolution.planted_edges()
    assert [axes.get_title()[0] for axes in figure.axes] == list(edges)
    for axes, edge in zip(figure.axes, edges.values(), strict=True):
        assert np.array_equal(axes.images[0].get_array(), edge)
    check = labkit.exercise("convolution.edge").check
    assert check(lambda: [[0, 10, 20], [-10, 0, 10], [-20, -10, 0]]).state == "right"  # of any size


def test_receptive_field_and_output_size_ask_for_what_torch_does():
    def measured(layers):
        x = torch.zeros(1, 1, 200, requires_grad=True, dtype=torch.float64)
        y = x
        for k, s, d in layers:
            y = nn.functional.conv1d(y, torch.ones(1, 1, k, dtype=torch.float64), stride=s, dilation=d)
        y[0, 0, y.shape[2] // 2].backward()
        seen = x.grad[0, 0].nonzero()
        return seen.max() - seen.min() + 1

    def ran(n, layers):
        x = torch.zeros(1, 1, n)
        for k, s, p in layers:
            x = nn.functional.conv1d(x, torch.ones(1, 1, k), stride=s, padding=p)
        return x.shape[2]

    assert labkit.exercise("convolution.receptive_field").check(measured).state == "right"
    assert labkit.exercise("convolution.output_size").check(ran).state == "right"


# Hand-made features


def test_orientations_asks_for_one_cell_of_hog():
    """Of a picture whose gradients are those of the exercise: skimage's cell holds the same, divided by its pixels."""
    seen = []
    labkit.exercise("features.orientations").check(lambda dx, dy, bins: seen.append((dx, dy, bins)))
    dx, dy, bins = seen[0]
    namespace = {}
    exec(labkit.exercise("features.orientations").code, namespace)
    for size, direction in zip(np.hypot(dx, dy).ravel(), np.arctan2(dy, dx).ravel(), strict=True):
        y, x = np.mgrid[:12, :12] / 24
        ramp = size * (np.cos(direction) * x + np.sin(direction) * y) / 4.1 + 0.5
        cell = handmade.cells(np.clip(ramp, 0, 1)[None, None], 4, bins)[0, 1, 1]
        ours = namespace["orientations"](np.array([np.cos(direction)]), np.array([np.sin(direction)]), bins)
        assert cell.argmax() == ours.argmax() and cell[cell.argmax()] == pytest.approx(cell.sum())


def test_both_classes_of_stripes_share_brightness_and_contrast():
    pictures, upright = features.stripes(n=2000, seed=5)
    for statistic in (pictures.mean((1, 2)), pictures.std((1, 2)), pictures[:, 0, 0]):
        assert abs(features._area(statistic, upright) - 0.5) < 0.04


def test_precision_recall_asks_for_scikit_learns():
    def answer(alarm, fraud):
        return precision_score(fraud, alarm), recall_score(fraud, alarm)

    assert labkit.exercise("features.precision_recall").check(answer).state == "right"


def test_any_threshold_of_least_cost_is_right():
    check = labkit.exercise("features.threshold").check
    assert check(lambda *_: 0.03).state == check(lambda *_: 0.05).state == "right"
    assert check(lambda *_: 0.051).state == "wrong"


# Feature hierarchy


def test_each_unit_to_be_named_has_one_part_that_it_agrees_with_far_better_than_with_others_on_new_pictures():
    (expected,) = [re.findall(r'"(\w+)"', labkit.exercise("hierarchy.name_units").code)]
    found = labkit.features.dissect(labkit.zoo.load("objects_cnn"), hierarchy._LAYER, labkit.data.objects(150, seed=9))
    for unit, part in zip(hierarchy._UNITS.values(), expected, strict=True):
        best, table = found.parts.index(part), found.iou[hierarchy._LAYER][unit]
        assert table[best] > 0.1 and table[best] == table.max()


def test_the_figure_of_the_units_shows_their_strongest_patches():
    figure = hierarchy.four_units()
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == list("ABCD")
    assert "; C 9" in figure.alt


def test_iou_asks_for_scikit_learns_jaccard_score():
    def answer(activation, threshold, part):
        return jaccard_score(part.ravel(), activation.ravel() > threshold)

    assert labkit.exercise("hierarchy.iou").check(answer).state == "right"


def test_no_picture_of_that_norm_excites_the_linear_unit_more_than_the_preferred_one():
    def answer(w, norm):
        many = np.random.default_rng(0).normal(size=(20_000, *w.shape))
        many *= norm / np.linalg.norm(many, axis=(1, 2), keepdims=True)
        namespace = {}
        exec(labkit.exercise("hierarchy.preferred").code, namespace)
        best = namespace["preferred"](w, norm)
        assert (best * w).sum() > (many * w).sum((1, 2)).max()
        return best

    assert labkit.exercise("hierarchy.preferred").check(answer).state == "right"


def test_cka_asks_for_what_the_lab_computes():
    assert labkit.exercise("hierarchy.cka").check(labkit.features.cka).state == "right"


# Saliency


def test_integrated_gradients_asks_for_captums():
    def answer(f, x, x0, points):
        def many(batch):
            return torch.stack([f(one) for one in batch])

        return IntegratedGradients(many).attribute(x[None], x0[None], n_steps=points, internal_batch_size=50)[0]

    assert labkit.exercise("saliency.integrated_gradients").check(answer).state == "right"


@pytest.mark.parametrize("share", [lambda i, n: i / n, lambda i, n: (i + 1) / n, lambda i, n: i / (n - 1)])
def test_integrated_gradients_may_be_any_mean_over_the_points(share):
    def answer(f, x, x0, points):
        total = torch.zeros_like(x)
        for i in range(points):
            point = (x0 + share(i, points) * (x - x0)).requires_grad_()
            total += torch.autograd.grad(f(point), point)[0]
        return (x - x0) * total / points

    assert labkit.exercise("saliency.integrated_gradients").check(answer).state == "right"


def test_integrated_gradients_on_the_quadratic_are_what_autograd_finds():
    """The closed form of the check, against a fine mean of gradients."""
    x, x0 = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    closed = (x - x0) * (saliency._CURVATURE @ ((x + x0) / 2).flatten() + saliency._SLOPE).reshape(2, 3)
    mean = (x - x0) * saliency._mean_gradient(saliency._score, x0, x)
    torch.testing.assert_close(closed, mean)
    torch.testing.assert_close(closed.sum(), saliency._score(x) - saliency._score(x0))


def test_one_of_three_nets_cheats_and_accuracy_does_not_tell():
    nets, ds = saliency.three_nets()
    with torch.no_grad():
        accuracy = {name: float((net(ds.inputs).argmax(1) == ds.targets).double().mean()) for name, net in nets.items()}
    assert min(accuracy.values()) > 0.9 and max(accuracy.values()) - min(accuracy.values()) < 0.05
    plain = saliency._without_cue()
    cheat = min(plain, key=lambda name: plain[name][1])
    assert plain[cheat][0] > 0.9 and plain[cheat][1] < 0.4
    assert all(plain[name][1] > 0.7 for name in nets if name != cheat)
    assert labkit.exercise("saliency.cheat").check(lambda nets, ds: cheat).state == "right"


def test_the_maps_of_the_cheat_alone_lie_on_the_watermark():
    nets, ds = saliency.three_nets()
    rows = ds.masks["cue"].flatten(1).any(1)
    cue, k = ds.masks["cue"][rows], int(ds.targets[rows][0])
    mass = {}
    for name, net in nets.items():
        maps = labkit.saliency.as_map(labkit.saliency.attribute(net, ds.inputs[rows], k, "gradient"))
        mass[name] = float(((maps * cue).sum((1, 2)) / maps.sum((1, 2))).mean())
    cheat = max(mass, key=mass.__getitem__)
    assert labkit.exercise("saliency.cheat").check(lambda nets, ds: cheat).state == "right"
    assert mass.pop(cheat) > 1.5 * max(mass.values())


def test_the_culprit_is_the_loose_eye_and_no_box_far_from_it():
    """The boxes of 10 by 10 that make the answer right all touch the right half of the house."""
    check = labkit.exercise("saliency.culprit").check
    net, ds = saliency.misread()
    with torch.no_grad():
        assert ds.classes[int(net(ds.inputs).argmax())] == "fish" and ds.classes[int(ds.targets)] == "house"
    right = {
        (i, j)
        for i in range(0, 39, 6)
        for j in range(0, 39, 6)
        if check(lambda i=i, j=j: (i, j, 10, 10)).state == "right"
    }
    assert {(24, 30)} <= right and all(i >= 12 and j >= 12 for i, j in right)
    figure = saliency.misread_picture()
    assert np.array_equal(figure.axes[0].images[0].get_array(), ds.inputs[0].permute(1, 2, 0))
    assert "loose eye" in figure.alt


def test_the_pointing_game_asks_for_labkits_without_a_blur():
    def answer(maps, masks):
        return labkit.saliency.score(torch.from_numpy(maps), torch.from_numpy(masks), sigma=0)["pointing"].mean()

    assert labkit.exercise("saliency.pointing_game").check(answer).state == "right"
