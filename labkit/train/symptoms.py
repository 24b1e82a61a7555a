"""What ails a run: illnesses of deep networks, recognised by the numbers that the run has recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

import numpy as np

from labkit.errors import DivergedError, SettingError
from labkit.train.flow import GradientFlow
from labkit.train.player import Player

# At most so many of the newest frames are looked at, none older than a quarter of the run; their medians count.
FRAMES = 5

# Above this share of dead or saturated units a layer is ill, where a quarter of the layers is; above the second, one
# layer is enough. Healthy networks have up to a third of their ReLUs silent for a batch of 64, and half in some layers.
ILL, VERY_ILL = 0.6, 0.9
# From one end of the hidden layers to the other.
VANISHING, EXPLODING = 1e-4, 1e3
# Steps that a judgement of the loss needs.
FEW_STEPS, MANY_STEPS = 20, 50
# Of the loss at the start, below which a network has learned.
LEARNED = 0.1
# Norm of an update over the norm of the weights: about 1e-3 is usual.
LARGE_UPDATE, SMALL_UPDATE = 0.1, 1e-4


@dataclass(frozen=True)
class Finding:
    """One illness: its name, the layers that show it (none: the whole run), the evidence, and what usually helps."""

    name: str
    where: tuple[str, ...]
    evidence: str
    advice: str

    def __str__(self) -> str:
        place = f" in {_listed(self.where)}" if self.where else ""
        return f"{self.name[0].upper()}{self.name[1:]}{place}: {self.evidence}"


class Diagnosis(tuple[Finding, ...]):
    """The findings of a run, causes first; empty where nothing is suspicious."""

    step: int

    @property
    def names(self) -> list[str]:
        return [finding.name for finding in self]

    def __repr__(self) -> str:
        if not self:
            return f"Nothing suspicious at step {self.step}."
        rows = [f"At step {self.step}:"]
        for i, finding in enumerate(self, 1):
            rows += wrap(f"{i}. {finding}", 100, subsequent_indent="   ")
            rows += wrap(f"What usually helps: {finding.advice}", 100, initial_indent="   ", subsequent_indent="   ")
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{escape(repr(self))}</p>"
        rows = [f"<li>{escape(str(f))}<br><i>What usually helps:</i> {escape(f.advice)}</li>" for f in self]
        return f"<p>At step {self.step}:</p><ol>{''.join(rows)}</ol>"


def diagnose(player: Player) -> Diagnosis:
    """Name what ails a run, with the evidence and what usually helps; empty for a healthy one.

    "dead ReLUs", "saturated units", "exploding activations", "exploding gradients", "vanishing gradients", "learning
    rate too high", "learning rate too low". It reads the recorded losses and the newest frames of a GradientFlow probe;
    where the player has none, the probe makes one pass now and leaves no trace. These are rules of thumb: they know the
    usual signs, not the cause.
    """
    if not isinstance(player, Player):
        raise SettingError(
            f"Expected a player, such as labkit.train.Player(trainer), received {type(player).__name__}."
        )
    with player.looking() as trainer:
        name, probe = next(
            ((name, probe) for name, probe in player.probes.items() if isinstance(probe, GradientFlow)),
            ("", GradientFlow()),
        )
        layers = [layer.name for layer in probe.layers(trainer)]
        newest = trainer.step_count
        frames = [frame for _, frame in player.recorder.frames.after(newest - 1 - newest // 4)][-FRAMES:]
        if not name or not frames:
            frames = [{f"{name}.{key}": array for key, array in probe(trainer).items()}]
        flow = {key: _typical([frame[f"{name}.{key}"] for frame in frames]) for key in _KEYS}
        losses = np.array([row["loss"] for _, row in player.recorder.rows.after(-1)])
        found: list[Finding] = []
        # A network that has learned its data has units at rest and small gradients, and is well.
        for rule in (_exploding,) if _has_learned(losses) else (_dead, _saturated, _exploding, _vanishing):
            found += rule(layers, flow)
        found += _rate_too_high(losses, flow["update_ratio"], player.error)
        found += [] if found else _rate_too_low(losses, flow["update_ratio"])
    diagnosis = Diagnosis(found)
    diagnosis.step = trainer.step_count
    return diagnosis


_KEYS = ("activation_rms", "gradient_rms", "weight_gradient_rms", "dead", "saturated", "update_ratio")
Flow = dict[str, np.ndarray]


def _typical(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """(L,) medians over the frames; NaN where no frame knows."""
    table = np.stack(arrays)
    known = ~np.isnan(table).all(0)
    result = np.full(table.shape[1], np.nan)
    result[known] = np.nanmedian(table[:, known], axis=0)
    return result


def _ill(shares: np.ndarray) -> np.ndarray:
    """The places of the layers that count as ill; none where they are few and not gravely so."""
    known = shares[np.isfinite(shares)]
    if not len(known) or ((known > ILL).mean() < 0.25 and known.max() <= VERY_ILL):
        return np.array([], int)
    return np.flatnonzero(np.nan_to_num(shares) > ILL)


def _dead(layers: list[str], flow: Flow) -> list[Finding]:
    worst = np.nan_to_num(flow["dead"])
    ill = _ill(flow["dead"])
    if not len(ill):
        return []
    return [
        Finding(
            "dead ReLUs",
            tuple(layers[i] for i in ill),
            f"{_percent(worst[ill].max())} of the units of {layers[int(np.argmax(worst))]} give 0 for every example of "
            "the batch, so nothing moves their weights.",
            "start again with a smaller learning rate; He's initial weights; normalisation before the ReLU, or a leaky "
            "ReLU.",
        )
    ]


def _saturated(layers: list[str], flow: Flow) -> list[Finding]:
    worst = np.nan_to_num(flow["saturated"])
    ill = _ill(flow["saturated"])
    if not len(ill):
        return []
    return [
        Finding(
            "saturated units",
            tuple(layers[i] for i in ill),
            f"{_percent(worst[ill].max())} of the outputs of {layers[int(np.argmax(worst))]} lie where the activation "
            "is flat and passes almost no gradient on.",
            "smaller initial weights (Xavier); a smaller learning rate; inputs of mean 0 and variance 1; normalisation "
            "before the activation, or ReLUs.",
        )
    ]


def _exploding(layers: list[str], flow: Flow) -> list[Finding]:
    """Growth over the hidden layers: of activations on their way forward, of gradients on their way back."""
    names, found = layers[:-1], []
    for what, values, ways in (
        ("activations", flow["activation_rms"][:-1], names),
        ("gradients", flow["gradient_rms"][:-1][::-1], names[::-1]),
    ):
        finite = bool(np.isfinite(values).all())
        if len(values) < 2 or (finite and not values[-1] > EXPLODING * values[0] > 0):
            continue
        size = f"{values[-1] / values[0]:.1e}-fold".replace("e+0", "e").replace("e+", "e") if finite else "without end"
        found.append(
            Finding(
                f"exploding {what}",
                tuple(names),
                f"they grow {size} from {ways[0]} to {ways[-1]}.",
                "initial weights by He's or Xavier's rule; normalisation, also within residual blocks; clipping of "
                "gradients.",
            )
        )
    return found


def _vanishing(layers: list[str], flow: Flow) -> list[Finding]:
    """The first third of the layers learns from gradients far smaller than the largest. Not because units are dead."""
    gradients = flow["weight_gradient_rms"]
    if len(gradients) < 3 or not np.isfinite(gradients).all() or not gradients.max() > 0:
        return []
    first = gradients[: max(1, len(gradients) // 3)]
    share = float(np.median(first)) / float(gradients.max())
    if share > VANISHING:
        return []
    ill = np.flatnonzero(gradients < VANISHING * gradients.max())
    return [
        Finding(
            "vanishing gradients",
            tuple(layers[i] for i in ill),
            f"the gradients of the first layers' weights are {share:.1e} of the largest.",
            "ReLUs with He's initial weights instead of sigmoids; normalisation; residual connections; fewer layers.",
        )
    ]


def _has_learned(losses: np.ndarray) -> bool:
    if len(losses) < FEW_STEPS:
        return False
    return bool(np.median(losses[-10:]) < LEARNED * losses[:3].min())  # a large first step may lift the loss


def _rate_too_high(losses: np.ndarray, updates: np.ndarray, error: Exception | None) -> list[Finding]:
    high = "learning rate too high"
    lower = "a learning rate three to ten times smaller; a warm-up; clipping of gradients."
    if isinstance(error, DivergedError):
        return [Finding(high, (), f"the loss became infinite or NaN after step {len(losses)}.", lower)]
    if len(losses) < FEW_STEPS:
        return []
    start, late = float(losses[:3].min()), losses[-max(10, len(losses) // 4) :]
    now = float(np.median(late))
    jump = float(np.median(np.abs(np.diff(late))))
    known = updates[np.isfinite(updates)]
    typical = float(np.median(known)) if len(known) else np.nan
    if now > 1.5 * start:
        return [Finding(high, (), f"the loss rose from {start:.3g} to {now:.3g}.", lower)]
    if now > 0.5 * start and jump > 0.3 * now:
        return [Finding(high, (), f"the loss stays near {now:.3g} and jumps by {jump:.3g} at a step.", lower)]
    if now > 0.8 * start and typical > LARGE_UPDATE:
        evidence = f"a step changes the weights by {_percent(typical)}, and the loss does not fall ({now:.3g})."
        return [Finding(high, (), evidence, lower)]
    return []


def _rate_too_low(losses: np.ndarray, updates: np.ndarray) -> list[Finding]:
    known = updates[np.isfinite(updates)]
    if len(losses) < MANY_STEPS or not len(known) or not known.max() < SMALL_UPDATE:
        return []
    start, now = float(np.median(losses[:10])), float(np.median(losses[-10:]))
    if abs(now - start) >= 0.05 * start:
        return []
    evidence = f"a step changes no layer's weights by more than {known.max():.1e} of them; the loss went from "
    evidence += f"{start:.3g} to {now:.3g} in {len(losses)} steps."
    return [Finding("learning rate too low", (), evidence, "a learning rate ten times larger, or Adam.")]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{len(names)} layers from {names[0]} to {names[-1]}"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
