"""The player: time goes forward in a thread, and back exactly."""

import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labkit.errors import DivergedError, SettingError
from labkit.models import MLP
from labkit.train import Player, Trainer, probes
from labkit.train.player import PROBE_SHARE

torch.set_num_threads(1)


def examples(n=150, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 4, generator=generator)
    return SimpleNamespace(inputs=inputs, targets=(inputs.sum(1) > 0).long(), __len__=lambda: n)


class Data:
    def __init__(self, seed):
        self.inputs, self.targets = examples(seed=seed).inputs, examples(seed=seed).targets

    def __len__(self):
        return len(self.inputs)


def make(lr=0.01, **options):
    model = MLP(4, 2, widths=(8,), dropout=0.1)
    return Player(Trainer(model, Data(0), Data(1), lr=lr, batch_size=16), **options)


def weights(player):
    return torch.cat([p.detach().flatten() for p in player.trainer.model.parameters()]).clone()


def until(condition, seconds=20.0):
    """Wait for a state that another thread brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        threading.Event().wait(0.002)


def test_wait_trains_to_a_step_and_stands_there():
    player = make()
    assert (player.status, player.position) == ("ready", 0)
    assert player.wait(steps=50) == 50
    assert (player.status, player.reason) == ("finished", "Reached step 50.")
    assert [row["step"] for row in player.history] == list(range(51))
    assert set(player.history[0]) == {"step", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    assert set(player.history[50]) == set(player.history[0]) | {"loss", "lr"}
    assert player.wait(steps=20) == 50


def test_the_player_trains_as_the_trainer_does_alone():
    player, alone = make(), make().trainer
    player.wait(steps=60)
    losses = [alone.step()["loss"] for _ in range(60)]
    assert [row["loss"] for row in player.history[1:]] == losses


def test_play_and_pause():
    player = make()
    player.play()
    player.play()
    until(lambda: player.trainer.step_count > 5)
    assert sum(thread.name == "labkit-player" for thread in threading.enumerate()) == 1
    player.pause()
    at = player.trainer.step_count
    assert (player.status, player.reason) == ("paused", "Paused.")
    assert not any(thread.name == "labkit-player" for thread in threading.enumerate())
    assert player.trainer.step_count == at
    player.step(3)
    assert (player.trainer.step_count, player.status) == (at + 3, "paused")
    assert player.frame()["step"] == at + 3


@pytest.mark.parametrize("step", [0, 1, 57, 119, 120])
def test_rewind_and_play_gives_the_same_history_again(step):
    player = make()
    player.wait(steps=60)
    player.set(lr=0.05)
    player.wait(steps=120)
    history, after = player.history, weights(player)
    player.rewind(step)
    assert player.trainer.step_count == step == player.position
    assert player.history == history[: step + 1]
    if step < 60:
        assert player.trainer.lr == 0.01
        player.wait(steps=60)
        player.set(lr=0.05)
    player.wait(steps=120)
    assert player.history == history
    assert torch.equal(weights(player), after)


def test_rewind_replays_from_a_checkpoint_between():
    player = make()
    player.wait(steps=40)
    kept = weights(player)
    player.wait(steps=100)
    player.rewind(90)
    player.rewind(40)
    assert torch.equal(weights(player), kept)
    with pytest.raises(SettingError, match="0 to 40"):
        player.rewind(41)


def test_fork_leaves_the_parent_untouched():
    player = make()
    player.wait(steps=50)
    before, history = weights(player), player.history
    fork = player.fork(step=30, lr=0.2)
    assert (fork.parent, fork.forked_at, fork.trainer.lr, fork.trainer.step_count) == (player, 30, 0.2, 30)
    fork.wait(steps=80)
    assert torch.equal(weights(player), before) and player.history == history
    assert fork.history[:30] == history[:30]
    assert fork.history[31]["lr"] == 0.2
    assert not torch.equal(weights(fork), before)
    with pytest.raises(SettingError, match="forked at step 30"):
        fork.rewind(10)
    fork.rewind(45)
    assert fork.trainer.step_count == 45
    with pytest.raises(SettingError, match="received size"):
        player.fork(size=3)


def test_a_fork_without_changes_has_the_same_future():
    player = make()
    player.wait(steps=40)
    fork = player.fork()
    player.wait(steps=90)
    fork.wait(steps=90)
    assert fork.history == player.history


def test_a_fork_with_another_optimizer_can_be_forked_again():
    player = make()
    player.wait(steps=20)
    fork = player.fork(optimizer="sgd", batch_size=4, seed=3)
    fork.wait(steps=40)
    again = fork.fork(step=30)
    again.wait(steps=40)
    assert torch.equal(weights(again), weights(fork))


def test_seek_shows_and_changes_nothing():
    player = make(probes={"weights": probes.weights("linear1")}, fps=1000)
    player.wait(steps=30)
    before = weights(player)
    player.seek(12)
    assert (player.position, player.following) == (12, False)
    frame = player.frame()
    assert frame["step"] <= 12 and not np.array_equal(frame["weights.weight"], player.frame(30)["weights.weight"])
    assert torch.equal(weights(player), before) and player.trainer.step_count == 30
    player.seek(None)
    assert (player.position, player.following) == (30, True)
    assert np.array_equal(player.frame()["weights.weight"], player.trainer.model.linear1.weight.detach().numpy())


def test_what_the_thread_raised_is_raised_by_wait():
    def fails(trainer):
        if trainer.step_count >= 20:
            raise ZeroDivisionError("planted")
        return {}

    player = make(probes={"bad": fails}, fps=100_000)
    player.speed = 10_000  # below full speed a probe is asked after every step
    with pytest.raises(ZeroDivisionError, match="planted"):
        player.wait(steps=100)
    assert (player.status, player.reason) == ("failed", "planted")
    assert player.trainer.step_count == 20
    with pytest.raises(ZeroDivisionError):
        player.wait()


def test_a_diverged_run_can_go_back_to_its_last_good_step():
    player = make()
    player.wait(steps=30)
    with player.paused() as trainer, torch.no_grad():
        trainer.model.output.weight.mul_(float("inf"))
    with pytest.raises(DivergedError, match="layer output"):
        player.wait(steps=60)
    assert player.status == "failed" and player.last_good == 29
    player.rewind(player.last_good)
    assert (player.status, player.last_good, player.trainer.step_count) == ("paused", None, 29)
    player.wait(steps=60)
    assert np.isfinite(player.history[-1]["loss"])


def test_edits_by_hand_are_part_of_the_past():
    player = make()
    player.wait(steps=10)
    with player.paused() as trainer, torch.no_grad():
        trainer.model.linear1.weight.zero_()
    player.wait(steps=30)
    history = player.history
    player.rewind(20)
    assert player.history == history[:21]
    player.wait(steps=30)
    assert player.history == history
    player.rewind(5)
    assert not (player.trainer.model.linear1.weight == 0).any()


def test_a_state_loaded_from_outside_is_part_of_the_past(tmp_path):
    player = make()
    player.wait(steps=20)
    player.trainer.save(tmp_path / "state.safetensors")
    player.wait(steps=50)
    history = player.history
    events = []
    player.listen(events.append)
    with player.paused() as trainer:
        trainer.load(tmp_path / "state.safetensors")
    assert events == ["history"]
    assert player.history == history[:21]
    player.wait(steps=50)
    assert [row["loss"] for row in player.history[1:]] == [row["loss"] for row in history[1:]]
    player.rewind(30)
    assert player.trainer.step_count == 30


def test_paused_stands_between_two_steps_while_it_plays():
    player = make()
    player.play()
    for _ in range(20):
        with player.paused() as trainer:
            at = trainer.step_count
            seen = weights(player)
            threading.Event().wait(0.003)
            assert trainer.step_count == at and torch.equal(weights(player), seen)
    assert player.status == "playing"
    before = player.trainer.step_count
    until(lambda: player.trainer.step_count > before)
    player.pause()


def test_stop_conditions():
    player = make(lr=0.05, evaluate_every=5)
    player.stop_when = {"test_accuracy": 0.9, "step": 2000}
    player.wait(steps=5000)
    assert player.status == "finished" and player.reason.startswith("Test accuracy reached")
    assert player.history[-1]["test_accuracy"] >= 0.9
    assert all(row.get("test_accuracy", 0) < 0.9 for row in player.history[:-1])
    at = player.trainer.step_count
    player.stop_when = {"test_accuracy": 0.9, "step": at + 7}
    player.wait(steps=5000)  # what holds already does not hold it up
    assert player.reason == f"Step reached {at + 7}."
    with pytest.raises(SettingError, match="received colour"):
        player.stop_when = {"colour": 1}


def test_speed_is_a_limit():
    player = make()
    player.speed = 200
    began = time.perf_counter()
    player.wait(steps=40)
    assert time.perf_counter() - began >= 39 / 200
    player.speed = 0.01
    player.play()
    player.pause()  # at once, not at the end of the 100 s to the next step
    with pytest.raises(SettingError, match="speed"):
        player.speed = 0


def test_events_say_what_happened():
    events = []
    player = make(fps=1000)
    remove = player.listen(events.append)
    player.wait(steps=20)
    assert events[0] == events[-1] == "status" and set(events[1:-1]) == {"frame"}
    events.clear()
    player.seek(3)
    player.rewind(10)
    player.set(lr=0.1)
    assert events == ["seek", "history", "status", "status"]
    with player.paused() as trainer, torch.no_grad():
        trainer.model.linear1.bias.add_(1)
    assert events[-1] == "edit"
    remove()
    player.step()
    assert len(events) == 5


def test_two_runs_side_by_side_stay_in_the_same_epoch():
    one, other = make(), make()
    one.beside, other.beside = other, one
    other.speed = 400  # far less than it could
    apart = []
    far = threading.Event()

    def look(event):
        apart.append(one.trainer.epoch - other.trainer.epoch)
        if one.trainer.epoch > 3:
            far.set()

    stop = one.listen(look)
    other.play()
    one.play()
    assert far.wait(30)
    stop()
    other.pause()  # then the first goes on alone
    one.wait(steps=one.trainer.step_count + 200, timeout=30)
    assert max(apart) <= 1
    assert other.fork().beside is None


def test_frames_at_given_steps_are_recorded_whatever_the_time():
    player = make(fps=1, frame_every=10, probes={"step": lambda trainer: {"count": np.array([trainer.step_count])}})
    player.wait(steps=57)
    assert [player.frame(step)["step"] for step in (10, 20, 30, 40, 50)] == [10, 20, 30, 40, 50]
    assert player.frame(40)["step.count"] == [40]
    with pytest.raises(SettingError, match="frame_every"):
        make(frame_every=0)


def test_a_fast_limited_run_is_never_faster():
    """It waits once for several steps, not before each of 2,000 a second."""
    player = make()
    player.speed = 2000
    began = time.monotonic()
    player.wait(steps=600)
    took = time.monotonic() - began
    assert took > 0.25  # never faster; slower it is only where the machine is busy


def test_an_edit_outside_of_a_pause_is_noted():
    player = make()
    player.wait(steps=10)
    events = []
    player.listen(events.append)
    with torch.no_grad():
        player.trainer.model.linear1.bias.add_(1)
    edited = player.trainer.model.linear1.bias.clone()
    player.note_edit()
    assert events == ["edit"]
    player.wait(steps=20)
    player.rewind(10)
    assert torch.equal(player.trainer.model.linear1.bias, edited)


def test_whoever_waits_finds_the_listeners_done():
    player, heard = make(), []

    def slow(event):
        time.sleep(0.05)
        heard.append((event, player.status))

    player.listen(slow)
    player.wait(steps=5)
    assert heard[-1] == ("status", "finished")


def test_a_run_may_look_at_another_while_both_play():
    """What draws two runs asks in one's thread for the other's model: neither may wait for the other's turn."""
    one, other = make(), make()
    looked = []

    def look(event):
        with other.paused() as trainer:
            looked.append(trainer.step_count)

    one.listen(look)
    other.play()
    one.wait(steps=400, timeout=30)
    other.pause()
    assert len(looked) > 2


def test_frames_come_by_the_clock_and_the_last_is_the_last_step():
    player = make(fps=50, probes={"w": probes.weights("output")})
    times = []
    player.listen(lambda event: times.append(time.perf_counter()) if event == "frame" else None)
    player.play()
    until(lambda: len(times) > 20)
    player.pause()
    gaps = np.diff(times[1:-1])
    assert np.median(gaps) >= 0.8 / 50
    assert player.frame()["step"] == player.trainer.step_count


def test_a_costly_probe_does_not_slow_the_run_down():
    asked = []

    def costly(trainer):
        asked.append(time.perf_counter())
        end = asked[-1] + 0.02
        while time.perf_counter() < end:
            pass
        return {}

    events = []
    player = make(fps=100, probes={"costly": costly})
    player.listen(events.append)
    player.play()
    until(lambda: len(asked) >= 5)  # the first is asked before it plays, the second when it begins
    player.pause()
    assert min(np.diff(asked[1:5])) >= 0.02 / PROBE_SHARE
    assert events.count("frame") > 2 * len(asked)


def test_columns_are_the_history():
    player = make(evaluate_every=4)
    player.wait(steps=10)
    columns = player.columns()
    assert columns["step"].tolist() == list(range(1, 11))
    assert columns["epoch"].tolist() == [row["epoch"] for row in player.history[1:]]
    assert columns["loss"].tolist() == [row["loss"] for row in player.history[1:]]
    assert columns["eval_step"].tolist() == [0, 4, 8, 10]
    assert columns["test_loss"].tolist() == [row["test_loss"] for row in player.history if "test_loss" in row]
    assert player.columns(after=8)["step"].tolist() == [9, 10]


def test_two_runs_at_once_take_turns_and_stay_exact():
    one, two = make(), make()
    other = make(lr=0.1)
    alone = make()
    alone.wait(steps=3000)
    one.stop_when = two.stop_when = other.stop_when = {"step": 3000}
    for player in (one, two, other):
        player.play()
    until(lambda: min(p.trainer.step_count for p in (one, two, other)) > 300)
    assert max(p.trainer.step_count for p in (one, two, other)) < 3000, "nobody waits for its turn for long"
    for player in (one, two, other):
        player.wait()
    assert torch.equal(weights(one), weights(alone)) and torch.equal(weights(two), weights(alone))


def test_the_interpreter_switches_faster_only_while_something_plays():
    before = sys.getswitchinterval()
    one, two = make(), make()
    for player in (one, two):
        player.play()
    until(lambda: min(one.trainer.step_count, two.trainer.step_count) > 0)
    assert sys.getswitchinterval() == pytest.approx(0.001)
    one.pause()
    assert sys.getswitchinterval() == pytest.approx(0.001)
    two.pause()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_a_timeout_pauses():
    player = make()
    player.speed = 5
    with pytest.raises(TimeoutError, match="paused"):
        player.wait(steps=1000, timeout=0.05)
    assert player.status == "paused"


def test_an_interrupt_pauses_and_keeps_the_run():
    player = make()
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        player.wait(steps=10_000_000)
    until(lambda: player.status == "paused")
    at = player.trainer.step_count
    assert at > 0 and player.reason == "Interrupted."
    player.wait(steps=at + 5)
    assert player.trainer.step_count == at + 5


def test_progress_is_shown(capsys):
    make().wait(steps=30, progress=True)
    assert "30/30" in capsys.readouterr().err


def test_predictions_probe_is_the_models_own_answer():
    generator = torch.Generator().manual_seed(0)
    ds = SimpleNamespace(inputs=torch.rand(40, 1, 4, 4, generator=generator), targets=torch.arange(40) % 2)

    class Sized(SimpleNamespace):
        def __len__(self):
            return 40

    ds = Sized(**vars(ds))
    player = Player(Trainer(MLP((1, 4, 4), 2), ds), probes={"wall": probes.predictions(ds, n=5)})
    frame = player.frame()
    chosen = torch.tensor([0, 10, 20, 29, 39])
    probabilities = player.trainer.model(ds.inputs[chosen]).softmax(1)
    assert frame["wall.predicted"].tolist() == probabilities.argmax(1).tolist()
    assert frame["wall.confidence"] == pytest.approx(probabilities.max(1).values.detach().numpy(), abs=1e-3)
    assert frame["wall.target"].tolist() == (chosen % 2).tolist()
    assert frame["wall.pictures"].shape == (5, 4, 4)
    assert frame["wall.pictures"][1] == pytest.approx(ds.inputs[10, 0].numpy() * 255, abs=0.51)
    with pytest.raises(SettingError, match="linear1, linear2, output"):
        probes.weights("conv9")(player.trainer)
