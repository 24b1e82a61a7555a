"""Wrong answers to the exercises of notebooks 01, 03 to 07 and 10: a part of the message that each must get, and it."""

import math
from types import SimpleNamespace

import numpy as np
import torch


def chain_rule(dz=lambda s: s.dy * (1 - s.y**2), dw=lambda s: torch.outer(s.dz, s.x), db=None, dx=None):
    """The right answer but for what is given; each is a function of all that the pass has computed."""

    def answer(x, w, b, dy):
        s = SimpleNamespace(x=x, w=w, dy=dy, z=w @ x + b, y=torch.tanh(w @ x + b))
        s.dz = dz(s)
        return dw(s), db(s) if db else s.dz, dx(s) if dx else w.T @ s.dz

    return answer


def two_layers(dout=lambda s: 2 * s.error / 4, dz=lambda s: s.dh * (s.z > 0), **others):
    def answer(x, y, w1, b1, w2, b2):
        s = SimpleNamespace(x=x, z=x @ w1.T + b1)
        s.h = np.maximum(s.z, 0)
        s.error = s.h @ w2.T + b2 - y
        s.dout = dout(s)
        s.dh = s.dout @ w2
        s.dz = dz(s)
        right = {"dw1": s.dz.T @ x, "db1": s.dz.sum(0), "dw2": s.dout.T @ s.h, "db2": s.dout.sum(0)}
        return [others[name](s) if name in others else value for name, value in right.items()]

    return answer


def difference(plus, minus, distance=lambda change, h: change / (2 * h)):
    """The losses at w[i] + plus · h and w[i] + minus · h, and what is made of their difference."""

    def answer(loss, w, i, h):
        nudge = torch.zeros_like(w)
        nudge[i] = h
        return distance(loss(w + plus * nudge) - loss(w + minus * nudge), h)

    return answer


def leaves_w_changed(loss, w, i, h):
    w[i] += h
    plus = loss(w)
    w[i] -= 2 * h
    return (plus - loss(w)) / (2 * h)


def limit(hessian=lambda x: 2 * x.T @ x / len(x), of=lambda values: 2 / values[-1]):
    return lambda x: of(torch.linalg.eigvalsh(hessian(x)))


def momentum(v=lambda s: s.momentum * s.v + s.g, w=lambda s: s.w - s.lr * s.new, give=lambda w, v: (w, v)):
    def answer(weight, velocity, gradient, lr, momentum):
        s = SimpleNamespace(w=weight, v=velocity, g=gradient, lr=lr, momentum=momentum)
        s.new = v(s)
        return give(w(s), s.new)

    return answer


def adam(m=lambda s: s.b1 * s.m + (1 - s.b1) * s.g, v=lambda s: s.b2 * s.v + (1 - s.b2) * s.g**2, **others):
    def answer(weight, gradient, mean, square, t, lr, beta1, beta2, eps):
        s = SimpleNamespace(w=weight, g=gradient, m=mean, v=square, t=t, lr=lr, b1=beta1, b2=beta2, eps=eps)
        s.old_m, s.old_v, s.m, s.v = mean, square, m(s), v(s)
        s.c1, s.c2 = 1 - beta1**t, 1 - beta2**t
        step = others.get("step", lambda s: (s.m / s.c1) / (math.sqrt(s.v / s.c2) + eps))
        weight -= lr * step(s)
        return others["give"](s, weight) if "give" in others else (weight, s.m, s.v)

    return answer


def shifted(by):
    """Adam's step with t wrong by that much."""
    return lambda s: (s.m / (1 - s.b1 ** (s.t + by))) / (math.sqrt(s.v / (1 - s.b2 ** (s.t + by))) + s.eps)


def residual(y=lambda s: s.x + s.f, slope=lambda s: 1 + s.w * (1 - s.f**2)):
    def answer(x, w):
        s = SimpleNamespace(x=x, w=w, f=math.tanh(w * x))
        return y(s), slope(s)

    return answer


def fan_in(shape):
    return math.prod(shape[1:])


def convolve(pad=lambda x, p: np.pad(x, p), w=lambda w: w, stride=lambda s: (s, s), give=lambda y: y):
    """The right convolution but for what is given."""

    def answer(x, kernel, step, padding):
        windows = np.lib.stride_tricks.sliding_window_view(pad(x, padding), kernel.shape)
        down, across = stride(step)
        return give((windows[::down, ::across] * w(kernel)).sum((2, 3)))

    return answer


def field(step, first=1):
    """The receptive field when a layer adds step(kernel, stride, dilation, product of the strides before)."""

    def answer(layers):
        total, jump = first, 1
        for k, s, d in layers:
            total += step(k, s, d, jump)
            jump *= s
        return total

    return answer


def sizes(one):
    """The size after a stack when a layer gives one(size, kernel, stride, padding)."""

    def answer(n, layers):
        for k, s, p in layers:
            n = one(n, k, s, p)
        return n

    return answer


def turned(dx, dy, bins, whole=180, weights=None, angle=None, scale=1.0):
    """A histogram of directions, wrong in what is given."""
    degrees = np.degrees(np.arctan2(dy, dx)) if angle is None else angle(dx, dy)
    sizes = np.hypot(dx, dy) if weights is None else weights(dx, dy)
    return scale * np.histogram(degrees % whole, bins, (0, whole), weights=sizes)[0]


def cka(centre=lambda z: z - z.mean(0), give=lambda across, x, y: across**2 / (x * y)):
    """Linear CKA but for what is given; `give` has the norms of yᵀx, of xᵀx and of yᵀy."""

    def answer(x, y):
        x, y = centre(x), centre(y)
        return give(np.linalg.norm(y.T @ x), np.linalg.norm(x.T @ x), np.linalg.norm(y.T @ y))

    return answer


def spread(x):
    return np.linalg.norm(x - x.mean(0))


def cheapest(cost):
    """The threshold, of all scores, where cost(score, fraud, amount, alarm_cost, alarm) is least."""

    def answer(score, fraud, amount, alarm_cost):
        return min(score, key=lambda t: cost(score, fraud, amount, alarm_cost, score >= t))

    return answer


def f1(score, fraud, amount, alarm_cost, alarm):
    return -2 * (alarm & fraud).sum() / (alarm.sum() + fraud.sum())


def shares(of_alarms, of_frauds):
    """Precision and recall from how many are (both, false alarms, missed, neither) of eleven payments."""

    def answer(alarm, fraud):
        n = [int(each.sum()) for each in (alarm & fraud, alarm & ~fraud, ~alarm & fraud, ~alarm & ~fraud)]
        return of_alarms(*n), of_frauds(*n)

    return answer


def on_the_way(share=lambda s: s, start=lambda x0: x0, end=lambda x, x0: x, factor=lambda x, x0: x - x0):
    """The mean gradient on the way from start to end at share(s), times the factor: right but for what is given."""

    def answer(f, x, x0, points):
        first, last = start(x0), end(x, x0)
        total = torch.zeros_like(x)
        for i in range(points):
            point = (first + share((i + 0.5) / points) * (last - first)).requires_grad_()
            total += torch.autograd.grad(f(point), point)[0]
        return factor(x, x0) * total / points

    return answer


def pointed(maps, masks):
    return masks.reshape(len(masks), -1)[range(len(maps)), maps.reshape(len(maps), -1).argmax(1)]


WRONG = {
    "backprop.chain_rule": {
        "db: the activation is missing": chain_rule(dz=lambda s: s.dy),
        "the slope of tanh alone": chain_rule(dz=lambda s: 1 - s.y**2),
        "not 1 − y.": chain_rule(dz=lambda s: s.dy * (1 - s.y)),
        "You took z itself": chain_rule(dz=lambda s: s.dy * (1 - s.z**2)),
        "in place of y": chain_rule(dz=lambda s: s.dy * (1 - s.dy**2)),
        "z grows by 1 with b": chain_rule(db=lambda s: torch.ones(2)),
        "a bias of its own": chain_rule(db=lambda s: s.dz.sum()),
        "db should be [": chain_rule(dz=lambda s: 3 * s.dy),
        "dw is turned": chain_rule(dw=lambda s: torch.outer(s.x, s.dz)),
        "dw: the activation": chain_rule(dw=lambda s: torch.outer(s.dy, s.x)),
        "dw: x is the local slope": chain_rule(dw=lambda s: torch.stack([s.x, s.x])),
        "is x, not w": chain_rule(dw=lambda s: s.w * s.dz[:, None]),
        "dw should have the shape (2, 3); received (3,)": chain_rule(dw=lambda s: s.x * s.dz[0]),
        "dx: the activation": chain_rule(dx=lambda s: s.w.T @ s.dy),
        "dx: w is the local slope": chain_rule(dx=lambda s: s.w.sum(0)),
        "Add what comes back from them.": chain_rule(dx=lambda s: s.w.T * s.dz),
        "over the rows": chain_rule(dx=lambda s: s.w * s.dz[:, None]),
        "output 0 only": chain_rule(dx=lambda s: s.w[0] * s.dz[0]),
        "received Tensor": lambda x, w, b, dy: dy,
        "received 2 values": lambda x, w, b, dy: (w, b),
        "dx should be a number or an array": lambda x, w, b, dy: (w, b, "x"),
    },
    "backprop.two_layers": {
        "wrong sign": two_layers(dout=lambda s: -2 * s.error / 4),
        "factor of 2.": two_layers(dout=lambda s: s.error / 4),
        "4 times too large": two_layers(dout=lambda s: 2 * s.error),
        "a factor of 2 and a division by 4": two_layers(dout=lambda s: s.error),
        "db2 was divided": two_layers(db2=lambda s: s.dout.mean(0)),
        "db2: all examples use": two_layers(db2=lambda s: s.dout),
        "dw2 is turned": two_layers(dw2=lambda s: s.h.T @ s.dout),
        "left after ReLU": two_layers(dw2=lambda s: s.dout.T @ s.z),
        "db1: ReLU is missing": two_layers(dz=lambda s: s.dh),
        "1 or 0, not its value": two_layers(dz=lambda s: s.dh * s.h),
        "not of the gradient": two_layers(dz=lambda s: np.maximum(s.dh, 0)),
        "db1 was divided": two_layers(db1=lambda s: s.dz.mean(0)),
        "db1: all examples use": two_layers(db1=lambda s: s.dz),
        "dw1 is turned": two_layers(dw1=lambda s: s.x.T @ s.dz),
        "dw1: ReLU is missing": two_layers(dw1=lambda s: s.dh.T @ s.x),
        "by x, not by h": two_layers(dw1=lambda s: s.dz.T @ s.h),
    },
    "backprop.finite_difference": {
        "one side only": difference(1, 0, lambda change, h: change / h),
        "looks back only": difference(0, -1, lambda change, h: change / h),
        "You divided by h": difference(1, -1, lambda change, h: change / h),
        "the difference of the losses": difference(1, -1, lambda change, h: change),
        "Write / (2 * h)": difference(1, -1, lambda change, h: change / 2 * h),
        "The sign is turned": difference(-1, 1),
        "h / 2 to each side": difference(0.5, -0.5),
        "Use the h that is given": difference(1e-3, -1e-3, lambda change, h: change / (2e-3 * h)),
        "every weight": lambda loss, w, i, h: (loss(w + h) - loss(w - h)) / (2 * h),
        "left w changed": leaves_w_changed,
        "for i = 1": lambda loss, w, i, h: difference(1, -1)(loss, w, 0, h),
        "should be 36.03": lambda loss, w, i, h: loss(w),
        "one number": lambda loss, w, i, h: w + h,
    },
    "backprop.sum_over_uses": {
        "as the factor of u": lambda w, x: math.tanh(w * x),
        "the path through u. w": lambda w, x: w * x * (1 - math.tanh(w * x) ** 2),
        "Two paths add": lambda w, x: math.tanh(w * x) * w * x * (1 - math.tanh(w * x) ** 2),
        "misses x": lambda w, x: math.tanh(w * x) + w * (1 - math.tanh(w * x) ** 2),
        "misses w": lambda w, x: math.tanh(w * x) + x * (1 - math.tanh(w * x) ** 2),
        "misses the slope": lambda w, x: math.tanh(w * x) + w * x,
        "That is y itself": lambda w, x: w * math.tanh(w * x),
    },
    "descent.limit": {
        "That is the sharpness": limit(of=lambda values: values[-1]),
        "twice as far": limit(of=lambda values: 1 / values[-1]),
        "divide x.T @ x by the number of examples": limit(lambda x: 2 * x.T @ x),
        "no factor 2, and no division": limit(lambda x: x.T @ x),
        "a factor of 2: the Hessian": limit(lambda x: x.T @ x / len(x)),
        "Divide by len(x)": limit(lambda x: x.T @ x / x.numel()),
        "not of all numbers": limit(lambda x: 2 * x.T @ x / x.numel()),
        "flattest direction": limit(of=lambda values: 2 / values[0]),
        "all eigenvalues": limit(of=lambda values: 2 / values.sum()),
        "Singular values": lambda x: 2 / (2 * torch.linalg.svdvals(x)[0] / len(x)),
        "no bias": limit(lambda x: 2 * (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)),
        "should be one number; received an array of the shape (3,)": limit(of=lambda values: 2 / values),
    },
    "descent.momentum": {
        "a running mean": momentum(v=lambda s: s.momentum * s.v + (1 - s.momentum) * s.g),
        "applies lr to w": momentum(v=lambda s: s.momentum * s.v - s.lr * s.g, w=lambda s: s.w + s.new),
        "must fade": momentum(v=lambda s: s.v + s.g),
        "Make the new velocity first": momentum(give=lambda w, v: (w, 0.5)),
        "Give w first": momentum(give=lambda w, v: (v, w)),
        "by the gradient alone": momentum(w=lambda s: s.w - s.lr * s.g),
        "by the old velocity": momentum(w=lambda s: s.w - s.lr * s.v),
        "climbs": momentum(w=lambda s: s.w + s.lr * s.new),
        "learning rate is missing": momentum(w=lambda s: s.w - s.new),
        "Nesterov": momentum(w=lambda s: s.w - s.lr * (s.g + s.momentum * s.new)),
        "received float": momentum(give=lambda w, v: w),
    },
    "descent.adam": {
        "m was stored": adam(give=lambda s, w: (w, s.m / s.c1, s.v)),
        "counts 1 − β₁": adam(m=lambda s: s.b1 * s.m + s.g),
        "share of the old m": adam(m=lambda s: (1 - s.b1) * s.m + s.b1 * s.g),
        "m takes β₁": adam(m=lambda s: s.b2 * s.m + (1 - s.b2) * s.g),
        "m is the old one": adam(give=lambda s, w: (w, s.old_m, s.v)),
        "v was stored": adam(give=lambda s, w: (w, s.m, s.v / s.c2)),
        "use the gradient squared": adam(v=lambda s: s.b2 * s.v + (1 - s.b2) * s.g),
        "counts 1 − β₂": adam(v=lambda s: s.b2 * s.v + s.g**2),
        "share of the old v": adam(v=lambda s: (1 - s.b2) * s.v + s.b2 * s.g**2),
        "v takes β₂": adam(v=lambda s: s.b1 * s.v + (1 - s.b1) * s.g**2),
        "v is the old one": adam(give=lambda s, w: (w, s.m, s.old_v)),
        "correction is missing": adam(step=lambda s: s.m / (math.sqrt(s.v) + s.eps)),
        "Only m is corrected": adam(step=lambda s: s.m / s.c1 / (math.sqrt(s.v) + s.eps)),
        "Only v is corrected": adam(step=lambda s: s.m / (math.sqrt(s.v / s.c2) + s.eps)),
        "inside the root": adam(step=lambda s: s.m / s.c1 / math.sqrt(s.v / s.c2 + s.eps)),
        "ε is missing": adam(step=lambda s: s.m / s.c1 / math.sqrt(s.v / s.c2)),
        "The root is missing": adam(step=lambda s: s.m / s.c1 / (s.v / s.c2 + s.eps)),
        "root before the correction": adam(step=lambda s: s.m / s.c1 / (math.sqrt(s.v) / s.c2 + s.eps)),
        "You multiplied": adam(step=lambda s: s.m / s.c1 * (math.sqrt(s.v / s.c2) + s.eps)),
        "one too large": adam(step=shifted(1)),
        "one too small": adam(step=shifted(-1)),
        "uses the old": adam(step=lambda s: s.old_m / s.c1 / (math.sqrt(s.old_v / s.c2) + s.eps)),
        "climbs": adam(step=lambda s: -s.m / s.c1 / (math.sqrt(s.v / s.c2) + s.eps)),
    },
    "depth.he": {
        "That is the variance": lambda shape: 2 / fan_in(shape),
        "for a linear layer. ReLU": lambda shape: math.sqrt(1 / fan_in(shape)),
        "That is fan-out": lambda shape: math.sqrt(2 / shape[0] / math.prod(shape[2:])),
        "Xavier": lambda shape: math.sqrt(2 / (shape[0] + shape[1]) / math.prod(shape[2:])),
        "uniform distribution": lambda shape: math.sqrt(6 / fan_in(shape)),
        "all weights": lambda shape: math.sqrt(2 / math.prod(shape)),
        "under the root": lambda shape: 2 / math.sqrt(fan_in(shape)),
        "by a whole kernel": lambda shape: math.sqrt(2 / shape[1]),
        "multiply by the channels": lambda shape: math.sqrt(2 / math.prod(shape[2:] or shape[1:])),
        "a height and a width": lambda shape: math.sqrt(2 / math.prod(shape[1:3])),
        "(50, 200) should be 0.1; received 3": lambda shape: 3,
    },
    "depth.residual": {
        "y: that is a plain layer": residual(y=lambda s: s.f),
        "after tanh, not before": residual(y=lambda s: math.tanh(s.x + s.w * s.x)),
        "added, not multiplied": residual(y=lambda s: s.x * s.f),
        "Give y first": lambda x, w: residual()(x, w)[::-1],
        "brings 1 more.": residual(slope=lambda s: s.w * (1 - s.f**2)),
        "slopes of x and of tanh(w · x) add": residual(slope=lambda s: 1 - s.w * (1 - s.f**2)),
        "misses w": residual(slope=lambda s: 2 - s.f**2),
        "with respect to w.": residual(slope=lambda s: 1 + s.x * (1 - s.f**2)),
        "misses that of tanh": residual(slope=lambda s: 1 + s.w),
        "must be multiplied by w": residual(slope=lambda s: 1 - s.f**2),
    },
    "depth.diagnose": {
        "Here it is exactly 0": lambda: ["vanishing", "vanishing", "exploding", "saturated"],
        "nothing grows": lambda: ["vanishing", "exploding", "exploding", "saturated"],
        "gives exactly 0": lambda: ["vanishing", "saturated", "exploding", "saturated"],
        "which way": lambda: ["vanishing", "dead", "vanishing", "saturated"],
        "their gradients are not": lambda: ["vanishing", "dead", "dead", "saturated"],
        "cannot leave its ends": lambda: ["vanishing", "dead", "saturated", "saturated"],
        "the activations say why": lambda: ["vanishing", "dead", "exploding", "vanishing"],
        "A dead unit gives 0": lambda: ["vanishing", "dead", "exploding", "dead"],
        "stay between 0 and 1": lambda: ["vanishing", "dead", "exploding", "exploding"],
        "nowhere exactly 0": lambda: ["dead", "dead", "exploding", "saturated"],
        "grow or shrink": lambda: ["exploding", "dead", "exploding", "saturated"],
        "in the middle": lambda: ["saturated", "dead", "exploding", "saturated"],
        "Give one of dead, exploding, saturated, vanishing": lambda: ["vanishing", "dead", "exploding", "overfitting"],
        "Give four words": lambda: "dead",
    },
    "convolution.conv2d": {
        "You flipped the kernel": convolve(w=lambda w: w[::-1, ::-1]),
        "Rows and columns of the kernel": convolve(w=lambda w: w.T),
        "mean of the products": convolve(give=lambda y: y / 9),
        "The output is transposed": convolve(give=lambda y: y.T),
        "The padding is missing": convolve(pad=lambda x, p: x),
        "repeats the border": convolve(pad=lambda x, p: np.pad(x, p, "edge")),
        "all four sides": convolve(pad=lambda x, p: np.pad(x, (p, 0))),
        "The window moves by 1": convolve(stride=lambda s: (1, 1)),
        "downwards alone": convolve(stride=lambda s: (s, 1)),
        "to the right alone": convolve(stride=lambda s: (1, s)),
        "stride 1 and padding 0 should have the shape (4, 6); received (3, 3)": lambda x, w, stride, padding: w,
    },
    "convolution.edge": {
        "it answers 4, where there is no edge": lambda: [[0, 2, 2], [0, 0, 2], [-2, 0, 0]],
        "All entries are 0": lambda: np.zeros((3, 3)),
        "bright and dark have changed places": lambda: [[0, -1, -2], [1, 0, -1], [2, 1, 0]],
        "To edge A it answers 0": lambda: [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
        "B runs along the other diagonal": lambda: [[-2, -1, 0.5], [-1, 0, 1], [-0.5, 1, 2]],
        "C is upright": lambda: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        "D lies flat": lambda: [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
        "3 rows of 3": lambda: [[-1, 1], [-1, 1]],
    },
    "convolution.receptive_field": {
        "do not multiply": lambda layers: math.prod(k for k, _, _ in layers),
        "Windows of neighbours overlap": lambda layers: sum(k for k, _, _ in layers),
        "begin with 1": field(lambda k, s, d, jump: (k - 1) * d * jump, first=0),
        "The strides are missing": field(lambda k, s, d, jump: (k - 1) * d),
        "A layer's own stride moves": field(lambda k, s, d, jump: (k - 1) * d * jump * s),
        "All strides before a layer multiply": field(lambda k, s, d, jump: (k - 1) * d * s),
        "The dilation is missing": field(lambda k, s, d, jump: (k - 1) * jump),
        "k − 1 gaps": field(lambda k, s, d, jump: (k * d - 1) * jump),
        "should be 3; received 100": lambda layers: 100,
    },
    "convolution.output_size": {
        "The padding is missing": sizes(lambda n, k, s, p: (n - k) // s + 1),
        "on both sides": sizes(lambda n, k, s, p: (n + p - k) // s + 1),
        "The stride is missing": sizes(lambda n, k, s, p: n + 2 * p - k + 1),
        "One too few": sizes(lambda n, k, s, p: (n + 2 * p - k) // s),
        "A window fits or it does not": sizes(lambda n, k, s, p: (n + 2 * p - k) / s + 1),
        "Round down, not up": sizes(lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
        "after the division": sizes(lambda n, k, s, p: (n + 2 * p - k + 1) // s),
        "the first layer's output": lambda n, layers: sizes(lambda n, k, s, p: (n + 2 * p - k) // s + 1)(n, layers[:1]),
        "should be 6; received 99": lambda n, layers: 99,
    },
    "features.orientations": {
        "Weight each by the size": lambda dx, dy, b: turned(dx, dy, b, weights=lambda dx, dy: np.ones_like(dx)),
        "directions over 360": lambda dx, dy, b: turned(dx, dy, b, whole=360),
        "the other way round": lambda dx, dy, b: turned(dy, dx, b),
        "direction of the edge": lambda dx, dy, b: turned(-dy, dx, b),
        "in radians": lambda dx, dy, b: turned(dx, dy, b, angle=lambda dx, dy: np.arctan2(dy, dx) % np.pi),
        "Do not normalise": lambda dx, dy, b: turned(dx, dy, b, scale=1 / np.hypot(dx, dy).sum()),
        "The size is a root": lambda dx, dy, b: turned(dx, dy, b, weights=lambda dx, dy: dx**2 + dy**2),
        "nearest border": lambda dx, dy, b: turned(
            dx, dy, b, angle=lambda dx, dy: np.degrees(np.arctan2(dy, dx)) + 90 / b
        ),
        "should have the shape (3,)": lambda dx, dy, b: turned(dx, dy, 2 * b),
        "should be [4 , 2.5, 6.5]": lambda dx, dy, b: [1.0, 2.0, 3.0],
    },
    "features.stripes": {
        "brightness, which": lambda x: x.mean((1, 2)),
        "contrast, which": lambda x: x.std((1, 2)),
        "brightest pixel": lambda x: x.max((1, 2)),
        "cancel out": lambda x: np.diff(x, axis=2).mean((1, 2)),
        "grows with the contrast too": lambda x: np.abs(np.diff(x, axis=1)).mean((1, 2)),
        "In which direction": lambda x: x[:, 3, 4],
        "received the shape (120, 12)": lambda x: np.abs(np.diff(x, axis=2)).mean(2),
        "not finite": lambda x: x[:, 0, 0] * np.nan,
    },
    "features.precision_recall": {
        "the other way round": shares(lambda a, b, c, d: a / (a + c), lambda a, b, c, d: a / (a + b)),
        "percentages": shares(lambda a, b, c, d: 100 * a / (a + b), lambda a, b, c, d: 100 * a / (a + c)),
        "counts the frauds found": shares(lambda a, b, c, d: a, lambda a, b, c, d: a),
        "Precision: 0.636 is the accuracy": shares(lambda a, b, c, d: (a + d) / 11, lambda a, b, c, d: a / (a + c)),
        "Divide by the alarms.": shares(lambda a, b, c, d: a / 11, lambda a, b, c, d: a / (a + c)),
        "share of right ones": shares(lambda a, b, c, d: b / (a + b), lambda a, b, c, d: a / (a + c)),
        "Recall: 0.636 is the accuracy": shares(lambda a, b, c, d: a / (a + b), lambda a, b, c, d: (a + d) / 11),
        "Divide by the frauds.": shares(lambda a, b, c, d: a / (a + b), lambda a, b, c, d: a / 11),
        "share of missed": shares(lambda a, b, c, d: a / (a + b), lambda a, b, c, d: c / (a + c)),
        "of genuine payments": shares(lambda a, b, c, d: a / (a + b), lambda a, b, c, d: b / (b + d)),
        "so 0.667 is right; received 0.5": shares(lambda a, b, c, d: a / (a + b), lambda a, b, c, d: 0.5),
        "received int64": lambda alarm, fraud: (alarm & fraud).sum(),
    },
    "features.threshold": {
        "One half": lambda *_: 0.5,
        "fewest errors": cheapest(lambda s, f, a, c, alarm: (alarm != f).sum()),
        "F1": cheapest(f1),
        "at any price": cheapest(lambda s, f, a, c, alarm: (alarm & ~f).sum()),
        "at everything": lambda score, *_: score[0],
        "not the amount of its payment": cheapest(lambda s, f, a, c, alarm: a[alarm != f].sum()),
        "is the least cost. Asked": lambda *_: 80.0,
        "Try each score": lambda *_: 0.28,
        "received NaN": lambda *_: math.nan,
        "one number": lambda score, *_: score,
    },
    "hierarchy.name_units": {
        "A: the masks say no": lambda: ["eye", "head", "wheel", "sail"],
        "B: it fires near the eye too": lambda: ["window", "eye", "wheel", "sail"],
        "C: the masks say no": lambda: ["window", "head", "door", "sail"],
        "D: it fires near the mast too": lambda: ["window", "head", "wheel", "mast"],
        "received 'windscreen'": lambda: ["windscreen", "head", "wheel", "sail"],
        "Give four names": lambda: "window",
    },
    "hierarchy.iou": {
        "in both. Divide": lambda a, t, p: ((a > t) & p).sum(),
        "divided by the part": lambda a, t, p: ((a > t) & p).sum() / p.sum(),
        "divided by where the unit fires": lambda a, t, p: ((a > t) & p).sum() / (a > t).sum(),
        "counts twice": lambda a, t, p: ((a > t) & p).sum() / ((a > t).sum() + p.sum()),
        "Dice": lambda a, t, p: 2 * ((a > t) & p).sum() / ((a > t).sum() + p.sum()),
        "divided by all pixels": lambda a, t, p: ((a > t) & p).mean(),
        "where neither is": lambda a, t, p: ((a > t) == p).mean(),
        "1 − IoU": lambda a, t, p: 1 - ((a > t) & p).sum() / ((a > t) | p).sum(),
        "mean of each picture": lambda a, t, p: (((a > t) & p).sum((1, 2)) / ((a > t) | p).sum((1, 2))).mean(),
        "one IoU a picture": lambda a, t, p: ((a > t) & p).sum((1, 2)) / ((a > t) | p).sum((1, 2)),
        "at the threshold as well": lambda a, t, p: ((a >= t) & p).sum() / ((a >= t) | p).sum(),
        "percentage": lambda a, t, p: 100 * ((a > t) & p).sum() / ((a > t) | p).sum(),
        "received 0.9": lambda a, t, p: 0.9,
    },
    "hierarchy.preferred": {
        "but the norm is 5.5": lambda w, norm: w,
        "but the norm is 1.": lambda w, norm: w / np.linalg.norm(w),
        "Divide by the norm of w": lambda w, norm: norm * w,
        "square of the norm": lambda w, norm: norm * w / (w**2).sum(),
        "root of a sum of squares": lambda w, norm: norm * w / np.abs(w).sum(),
        "least of all": lambda w, norm: -norm * w / np.linalg.norm(w),
        "a limit of its own": lambda w, norm: norm * np.sign(w),
        "all pixels are as bright": lambda w, norm: norm * np.sign(w) / np.linalg.norm(np.sign(w)),
        "all on one pixel": lambda w, norm: np.where(np.abs(w) == np.abs(w).max(), norm * np.sign(w), 0),
        "Keep the signs": lambda w, norm: norm * np.abs(w) / np.linalg.norm(w),
        "a negative pixel brings": lambda w, norm: norm * np.maximum(w, 0) / np.linalg.norm(np.maximum(w, 0)),
        "shape (2, 3); received ()": lambda w, norm: norm,
    },
    "hierarchy.cka": {
        "columns are not centred": cka(lambda z: z),
        "a mean of its own": cka(lambda z: z - z.mean()),
        "You centred rows": cka(lambda z: z - z.mean(1, keepdims=True)),
        "norm above is squared: ‖yᵀx‖².": cka(give=lambda a, x, y: a / (x * y)),
        "You took the root": cka(give=lambda a, x, y: a / np.sqrt(x * y)),
        "not those of x and y": lambda x, y: cka(give=lambda a, *_: a**2)(x, y) / spread(x) / spread(y),
        "not the squared norms": lambda x, y: cka(give=lambda a, *_: a**2)(x, y) / spread(x) ** 2 / spread(y) ** 2,
        "above the line": cka(give=lambda a, *_: a**2),
        "1 − CKA": cka(give=lambda a, x, y: 1 - a**2 / (x * y)),
        "received 0.5": lambda x, y: 0.5,
    },
    "saliency.integrated_gradients": {
        "That is the mean gradient. Multiply": on_the_way(factor=lambda x, x0: 1),
        "it is multiplied by x": on_the_way(factor=lambda x, x0: x),
        "The sign is turned round": on_the_way(factor=lambda x, x0: x0 - x),
        "divide by the number of points": on_the_way(factor=lambda x, x0: 400 * (x - x0)),
        "Keep the signs": lambda *args: on_the_way()(*args).abs(),
        "at x alone. Ask all along": on_the_way(share=lambda s: 1.0),
        "at the baseline alone": on_the_way(share=lambda s: 0.0),
        "the plain one": on_the_way(share=lambda s: 1.0, factor=lambda x, x0: 1),
        "input × gradient": on_the_way(share=lambda s: 1.0, factor=lambda x, x0: x),
        "Your way begins at 0, whatever": on_the_way(start=lambda x0: 0 * x0, factor=lambda x, x0: x),
        "only the factor knows of x0": on_the_way(start=lambda x0: 0 * x0),
        "from 0 to x − x0": on_the_way(start=lambda x0: 0 * x0, end=lambda x, x0: x - x0),
        "mean of the two ends": on_the_way(share=round),
        "received (6,)": lambda *args: on_the_way()(*args).flatten(),
        "should add up to": on_the_way(factor=lambda x, x0: 1.1 * (x - x0)),
        "adds up to the right number": lambda *args: on_the_way()(*args).flip(1),
    },
    "saliency.cheat": {
        "Not A": lambda nets, ds: "A",
        "Not C": lambda nets, ds: "c",
        "Give one letter": lambda nets, ds: 1,
        "received 'AB'": lambda nets, ds: "AB",
    },
    "saliency.culprit": {
        "It still says fish": lambda: (0, 0, 10, 10),
        "Warmer": lambda: (21, 3, 10, 10),
        "Now it says boat": lambda: (21, 18, 10, 10),
        "Rows come first": lambda: (33, 24, 10, 10),
        "Take at most 144": lambda: (12, 12, 30, 30),
        "not within the picture": lambda: (40, 40, 10, 10),
        "four whole numbers": lambda: (25, 28),
        "received (25.5, 28, 10, 10)": lambda: (25.5, 28, 10, 10),
    },
    "saliency.pointing_game": {
        "Divide by the number": lambda maps, masks: sum(pointed(maps, masks)),
        "percentage": lambda maps, masks: 100 * pointed(maps, masks).mean(),
        "share of misses": lambda maps, masks: 1 - pointed(maps, masks).mean(),
        "one for each map. Give": lambda maps, masks: pointed(maps, masks),
        "for all maps together": lambda maps, masks: masks.flatten()[maps.argmax()],
        "mass in the mask": lambda maps, masks: ((maps * masks).sum((1, 2)) / maps.sum((1, 2))).mean(),
        "mass in all masks": lambda maps, masks: (maps * masks).sum() / maps.sum(),
        "lowest place": lambda maps, masks: pointed(-maps, masks).mean(),
        "what chance would score": lambda maps, masks: masks.mean(),
        "received 0.5": lambda maps, masks: 0.5,
    },
}
