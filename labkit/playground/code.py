"""A playground written out as a PyTorch program: same points (from labkit.data), same start, same training."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from labkit.errors import SettingError
from labkit.playground.build import points
from labkit.playground.settings import Settings

EPOCHS = 50


@dataclass(frozen=True)
class Change:
    """Something changed by hand in the middle of a run, before step `step` + 1.

    name "lr": `value` is the new learning rate. "all": `values` are all parameters in one row. Else a parameter's
    entry: its new `value`, or whether it is `frozen`.
    """

    step: int
    name: str
    index: tuple[int, ...] = ()
    value: float = 0.0
    frozen: bool | None = None
    values: tuple[float, ...] = ()


FEATURES = {
    "x1": "x1",
    "x2": "x2",
    "x1_squared": "x1**2",
    "x2_squared": "x2**2",
    "x1_x2": "x1 * x2",
    "sin_x1": "torch.sin(x1)",
    "sin_x2": "torch.sin(x2)",
}
MODULES = {
    "linear": "nn.Identity()",
    "tanh": "nn.Tanh()",
    "relu": "nn.ReLU()",
    "sigmoid": "nn.Sigmoid()",
    "gelu": "nn.GELU()",
    "leaky_relu": "nn.LeakyReLU()",
}
OPTIMIZERS = {
    "sgd": "SGD({what}, lr={lr})",
    "momentum": "SGD({what}, lr={lr}, momentum=0.9)",
    "adagrad": "Adagrad({what}, lr={lr})",
    "rmsprop": "RMSprop({what}, lr={lr})",
    "adam": "Adam({what}, lr={lr}, fused=True)",
    "adamw": "AdamW({what}, lr={lr}, fused=True)",
}
SCHEDULES = {
    "step": "0.5 ** (epoch // {period})",
    "exponential": "0.1 ** (epoch / {period})",
    "cosine": "0.5 * (1 + math.cos(math.pi * min(1.0, epoch / {period})))",
    "warmup": "min(1.0, max(epoch, 0.1) / {period})",
}


def program(settings: Settings, changes: Sequence[Change] = (), epochs: int = EPOCHS) -> str:
    """Python that trains the same network for `epochs`, prints its losses, and leaves it as `model`.

    It takes the points from labkit.data and is plain PyTorch else. changes: what was changed by hand while it trained,
    by rising step.
    """
    learned, kept = points(settings)
    imports = ["import math\n"] if settings.schedule == "cosine" else []
    imports += ["import torch", "from torch import nn\n", "import labkit"]
    paragraphs = [
        "\n".join(imports),
        _data(settings, len(learned), 0 if kept is None else len(kept)),
        "\n" + _features(settings),
        "\n" + _answers(settings),
        "\n" + _inputs(kept is not None),
        "\n" + _layers(settings),
        "\n" + _model(settings),
        _training(settings),
        "\n" + _loss(settings),
        "\n" + _loop(settings, changes, epochs, len(learned), kept is not None),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _data(settings: Settings, learned: int, kept: int) -> str:
    split = f".split(test={1 - settings.train_share / 100!r}, seed={settings.data_seed})"
    lines = [f"# Data: {learned} points to learn from, {kept} to test with"]
    if settings.points:
        lines += ["own = torch.tensor([", *(f"    [{x!r}, {y!r}, {label!r}]," for x, y, label in settings.points), "])"]
        lines += ["own = labkit.data.Dataset(own[:, :2], own[:, 2].long())"]
    if settings.data == "own":
        lines.append(f"train, test = own{split}" if kept else "train = own")
    else:
        classes = f", classes={settings.classes}" if settings.classes != 2 else ""
        drawn = f'"{settings.data}", n={settings.n}, noise={settings.noise}, seed={settings.data_seed}{classes}'
        lines.append(f"train, test = labkit.data.toy({drawn}){split}")
        if settings.points:
            joined = "torch.cat([train.inputs, own.inputs]), torch.cat([train.targets, own.targets])"
            lines.append(f"train = labkit.data.Dataset({joined})")
    return "\n".join(lines)


def _features(settings: Settings) -> str:
    used = [FEATURES[name] for name in settings.features]
    lines = ["def features(points):", "    x1, x2 = points[:, 0], points[:, 1]"]
    return "\n".join([*lines, f"    return torch.stack([{', '.join(used)}], 1)"])


def _answers(settings: Settings) -> str:
    target = "2.0 * data.targets[:, None].float() - 1" if settings.kind == "binary" else "data.targets"
    return f"def answers(data):\n    return {target}"


def _inputs(tested: bool) -> str:
    lines = ["inputs, targets = features(train.inputs), answers(train)"]
    return "\n".join(lines + ["test_inputs, test_targets = features(test.inputs), answers(test)"] * tested)


def _layers(settings: Settings) -> str:
    return "\n".join(
        [
            "# Weights begin uniform within 0.5, each bias as 0.1",
            f"generator = torch.Generator().manual_seed({settings.seed})\n\n",
            "def linear(inputs, outputs):",
            "    layer = nn.Linear(inputs, outputs)",
            "    nn.init.uniform_(layer.weight, -0.5, 0.5, generator=generator)",
            "    nn.init.constant_(layer.bias, 0.1)",
            "    return layer",
        ]
    )


def _model(settings: Settings) -> str:
    lines = ["model = nn.Sequential("]
    before = len(settings.features)
    for width, activation in zip(settings.widths, settings.activations, strict=True):
        dropout = f", nn.Dropout({settings.dropout!r})" if settings.dropout else ""
        lines.append(f"    linear({before}, {width}), {MODULES[activation]}{dropout},")
        before = width
    lines += [f"    linear({before}, {settings.outputs}){', nn.Tanh()' if settings.kind == 'binary' else ''},", ")"]
    if settings.start_weights:
        lines += ["with torch.no_grad():  # set by hand before the first step"]
        lines += [f"    {_entry(settings, name, index)} = {value!r}" for name, index, value in settings.start_weights]
    return "\n".join(lines)


def _training(settings: Settings) -> str:
    made = OPTIMIZERS[settings.optimizer]
    if not settings.l2:
        decay = ", weight_decay=0.0" if settings.optimizer == "adamw" else ""
        return f"optimizer = torch.optim.{made.format(what='model.parameters()', lr=repr(settings.lr) + decay)}"
    return "\n".join(
        [
            "groups = [",
            f'    {{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": {settings.l2!r}}},  # L2',
            '    {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},',
            "]",
            f"optimizer = torch.optim.{made.format(what='groups', lr=repr(settings.lr))}",
        ]
    )


def _loss(settings: Settings) -> str:
    several = settings.kind == "classes"
    value = "nn.functional.cross_entropy(output, target)" if several else "0.5 * nn.functional.mse_loss(output, target)"
    return f"def loss_of(output, target):\n    return {value}"


def _loop(settings: Settings, changes: Sequence[Change], epochs: int, examples: int, tested: bool) -> str:
    size = settings.batch_size
    freezes = settings.frozen or any(change.frozen is not None for change in changes)
    scheduled = settings.schedule != "constant"
    step: list[str] = []
    for at, group in groupby((c for c in changes), key=lambda change: change.step):
        step += [f"if step == {at}:  # changed by hand", *(f"    {_change(settings, change)}" for change in group)]
    if settings.dropout:  # as the lab's trainer seeds each step
        step += [f"torch.manual_seed(({settings.seed} * 0x9E3779B1 + step * 0x85EBCA77) & 0xFFFFFFFF)"]
    if scheduled:
        step += [f"epoch = step / {-(-examples // size)}", "for group in optimizer.param_groups:"]
        step += [f'    group["lr"] = lr * {SCHEDULES[settings.schedule].format(period=settings.schedule_epochs)}']
    step += ["loss = loss_of(model(x), y)", "optimizer.zero_grad()", "loss.backward()"]
    if freezes:
        step += ["kept = [(p, i, p[i].item()) for p, i in frozen.values()]"]
    step += ["optimizer.step()"]
    if settings.l1 or freezes:
        step += ["with torch.no_grad():"]
    if settings.l1:
        rate = 'optimizer.param_groups[0]["lr"]'
        step += ["    for weight in [p for p in model.parameters() if p.ndim > 1]:  # L1: to zero, and not beyond it"]
        step += [f"        weight.copy_(nn.functional.softshrink(weight, {rate} * {settings.l1!r}))"]
    if freezes:
        step += ["    for p, i, value in kept:", "        p[i] = value"]
    step += ["step += 1"]

    lines = ["step = 0"]
    if scheduled:
        lines += [f"lr = {settings.lr!r}"]
    if freezes:
        lines += ["frozen = {}"]
        lines += [_freeze(settings, name, index, True) for name, index in settings.frozen]
    lines += [f"for passed in range(1, {epochs} + 1):"]
    lines += [f"    for x, y in zip(inputs.split({size}), targets.split({size})):"]
    lines += [f"        {line}" for line in step]
    lines += ["    if passed % 10 == 0:"]
    if settings.dropout:
        lines += ["        model.eval()"]
    lines += ["        with torch.no_grad():"]
    shown = 'f"epoch {passed}: training loss {loss_of(model(inputs), targets):.4f}'
    shown += ', test loss {loss_of(model(test_inputs), test_targets):.4f}")' if tested else '")'
    lines += [f"            print({shown}"]
    if settings.dropout:
        lines += ["        model.train()"]
    return "\n".join(lines)


def _change(settings: Settings, change: Change) -> str:
    if change.name == "lr":
        if settings.schedule != "constant":
            return f"lr = {change.value!r}"
        groups = [f'optimizer.param_groups[{i}]["lr"] = ' for i in range(2 if settings.l2 else 1)]
        return f"{''.join(groups)}{change.value!r}"
    if change.name == "all":
        return f"nn.utils.vector_to_parameters(torch.tensor({list(change.values)}), model.parameters())"
    if change.frozen is not None:
        return _freeze(settings, change.name, change.index, change.frozen)
    return f"{_parameter(settings, change.name)}.data[{', '.join(map(str, change.index))}] = {change.value!r}"


def _freeze(settings: Settings, name: str, index: tuple[int, ...], on: bool) -> str:
    key = f'"{name}", {index!r}'
    return f"frozen[{key}] = ({_parameter(settings, name)}, {index!r})" if on else f"frozen.pop(({key}), None)"


def _entry(settings: Settings, name: str, index: tuple[int, ...]) -> str:
    return f"{_parameter(settings, name)}[{', '.join(map(str, index))}]"


def _parameter(settings: Settings, name: str) -> str:
    """ "linear2.weight" as model[2].weight, by the layer's place in the program's model."""
    if name not in settings.shapes:
        raise SettingError(f"Expected a parameter of {', '.join(settings.shapes)}; received {name!r:.80}.")
    layer, kind = name.split(".")
    names = [*(f"linear{i}" for i in range(1, len(settings.widths) + 1)), "output"]
    return f"model[{names.index(layer) * (3 if settings.dropout else 2)}].{kind}"
